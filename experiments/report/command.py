"""`report --workdir DIR [DIR ...] [--out DIR]`: runs and ablations as one page.

Reads what `train`, `evaluate`, `inspect`, `ablate` and `samples` left; computes nothing
anew. Writes report.html, which contains its pictures and loads nothing, and report.md
with the same text and tables.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from experiments.core.options import refuse_overrides
from experiments.report import page
from experiments.report.runs import read
from flowjax_ood.interface.errors import writing


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `report`."""
    refuse_overrides("report", overrides, ": it computes nothing anew")
    main(args.workdir, args.out)


def main(workdirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write report.html and report.md into `out`; returns the path of the first.

    `out` is by default the directory `report` beside the first workdir. Raises
    UserError before anything is written for a workdir that holds no results.
    """
    document = page.document(read(workdirs))
    out = workdirs[0].resolve().parent / "report" if out is None else out
    with writing("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        path = out / "report.html"
        document.write(path)
        document.write(out / "report.md")
    print(
        f"report: {path} ({path.stat().st_size / 1e6:.1f} MB), and report.md beside it"
    )
    return path

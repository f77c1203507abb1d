"""`report --workdir DIR [DIR ...] [--out DIR]`: runs and ablations as one page.

Reads what `train`, `evaluate`, `inspect`, `ablate` and `samples` left; computes nothing
anew. Leaves report.html, which holds its pictures and loads nothing, and report.md with
its tables.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from experiments.core.errors import writing
from experiments.core.options import refuse_overrides
from experiments.core.text import run_names
from experiments.report import page as report_page
from experiments.report import rows as report_rows
from experiments.report.runs import Kept, read
from experiments.report.words import distinct_titles
from flowjax_ood.runtime.files import write_bytes


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `report`."""
    refuse_overrides("report", overrides, ": it computes nothing anew")
    main(args.workdir, args.out)


def main(workdirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write report.html and report.md into `out`; returns the path of the former.

    `out` is by default the directory `report` beside the first workdir. Raises
    UserError before anything is written for a workdir that holds no results.
    """
    content = gather(read(workdirs))
    out = workdirs[0].resolve().parent / "report" if out is None else out
    page = report_page.page(content)
    markdown = report_page.markdown(content)
    with writing("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        path = page.write(out / "report.html")
        write_bytes(out / "report.md", markdown.encode())
    print(
        f"report: {path} ({path.stat().st_size / 1e6:.1f} MB), and report.md beside it"
    )
    return path


def gather(kept: Kept) -> report_page.Content:
    """Runs pooled over seeds, with all names that a page needs."""
    flows = report_rows.pooled(kept.runs)
    titles = distinct_titles({key: found[0] for key, found in flows.items()})
    names = run_names([one.workdir for some in kept for one in some])
    rows = report_rows.rows_of(flows)
    return report_page.Content(flows, titles, names, rows, kept.ablations, kept.samples)

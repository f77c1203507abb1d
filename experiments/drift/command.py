"""`drift --workdir=DIR`: kept scores as streams that change, and when monitors ring.

Reads scores/ of a `detect` run, and writes results.json, table.md, drift.html and
drift.png.
"""

from argparse import Namespace
from collections.abc import Sequence

from experiments.core.kept_scores import read_scores
from experiments.core.options import known_names, refuse_overrides
from experiments.core.reports import leave
from experiments.core.results import versions
from experiments.core.workdir import check_writable
from experiments.drift.measures import BOTH, DELTA, EVERY, KS, LEVEL, POWER, row
from experiments.drift.page import document, figure
from experiments.drift.streams import check_counts
from flowjax_ood.interface import text
from flowjax_ood.runtime.progress import progress

PICTURE = "drift.png"
# one of each kind, those that see corrupted images first
SHOWN = (
    "Mahalanobis (uniform weights)",
    *("KNN", "ViM", "Energy", "MSP", "Relative Mahalanobis"),
)


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `drift`."""
    refuse_overrides("drift", overrides)
    kept = read_scores(args.workdir, args.network)
    every = list(kept.detectors)
    names = [n for n in SHOWN if n in every] or every[: len(SHOWN)]
    if args.detectors:
        names = known_names("detectors", args.detectors, every)
    check_counts(kept, args.calibrate, args.steps, args.change)
    out = args.workdir / "drift" if args.out is None else args.out
    check_writable("--out", out)
    rows = []
    with progress("streams", len(names), "detectors") as shown:
        for done, name in enumerate(names, 1):
            rows.append(row(name, kept, args))
            shown.advance(done)
    # of the first: those of others would fill the file
    first, *_ = [r.pop("curves") for r in rows]
    results = {
        "detect": {"run": text.run_name(args.workdir), "network": kept.network},
        "in_distribution": kept.id_name,
        "outliers": list(kept.outliers),
        **{k: getattr(args, k) for k in ("calibrate", "streams", "steps", "change")},
        **{k: getattr(args, k) for k in ("window", "alarm", "seed")},
        "delta": DELTA,
        "level": LEVEL,
        "rows": rows,
        "log10_wealth": {
            "detector": rows[0]["name"],
            "every": EVERY,
            "changes": first,
        },
        "left_out": {}
        if kept.labels is not None
        else {"classes that vanish": "scores/ holds no classes: run detect again"},
        "versions": versions(),
    }
    leave(
        out, results, "drift", PICTURE, lambda: figure(results), document, print_table
    )


def print_table(results: dict) -> None:
    """Print false alarms, and delays of the first changes by power bets."""
    first = results["rows"][0]["monitors"][POWER]["changes"]
    changes = list(first)[:4]
    monitors = [m for m in (POWER, BOTH, KS) if m in results["rows"][0]["monitors"]]
    lines = []
    for of in results["rows"]:
        line = [of["name"]]
        line += [text.share(of["monitors"][m]["false_alarms"]) for m in monitors]
        delays = of["monitors"][POWER]["changes"]
        known = (delays.get(c, {"median_delay": None}) for c in changes)
        line += [text.number(of_change["median_delay"]) for of_change in known]
        lines.append(line)
    headers = ["detector", *(f"false alarms, {m}" for m in monitors)]
    headers += [f"delay, {c}" for c in changes]
    title = f"Drift after step {results['change']}: delays of power bets"
    text.print_table(headers, lines, title=title, width=110)

"""`decide --workdir=DIR`: decisions by the scores that a `detect` run has kept.

Reads scores/ of the run, and writes results.json, table.md, decisions.html and
decisions.png.
"""

from argparse import Namespace
from collections.abc import Sequence

import numpy as np

from experiments.core.kept_scores import KeptScores, read_scores
from experiments.core.options import known_names, refuse_overrides
from experiments.core.reports import leave
from experiments.core.results import versions
from experiments.core.workdir import check_writable
from experiments.decide import measures
from experiments.decide.abstention import abstention
from experiments.decide.page import document, figure
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.progress import progress

PICTURE = "decisions.png"
# in-distribution scores to calibrate on and to test, each
LEAST_SCORES = 40
PRINTED = 20


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `decide`."""
    refuse_overrides("decide", overrides)
    kept = read_scores(args.workdir, args.network)
    names = list(kept.detectors)
    if args.detectors:
        names = known_names("detectors", args.detectors, names)
    if kept.size < LEAST_SCORES:
        raise UserError(
            f"{kept.id_name} has {kept.size} scores, and half of them calibrate: "
            f"decide needs {LEAST_SCORES}"
        )
    out = args.workdir / "decide" if args.out is None else args.out
    check_writable("--out", out)
    drawn = measures.splits(
        kept.size, args.calibrate, args.test, args.splits, args.seed
    )
    rows = []
    with progress("decisions", len(names), "detectors") as shown:
        for done, name in enumerate(names, 1):
            rows.append(measures.row(name, kept, drawn, args.batches, args.seed))
            shown.advance(done)
    rows.sort(key=lambda r: -np.mean(list(r["auroc"].values()) or [0.0]))
    results = {
        "detect": {"run": text.run_name(args.workdir), "network": kept.network},
        "in_distribution": kept.id_name,
        "outliers": list(kept.outliers),
        "calibrate": len(drawn[0].calibrate),
        "test": len(drawn[0].test),
        "splits": len(drawn),
        "batch": {
            "images": measures.BATCH,
            "outliers": measures.OUTLIERS,
            "level": measures.LEVEL,
            "delta": measures.DELTA,
            "batches": args.batches * len(drawn),
        },
        "seed": args.seed,
        "rows": rows,
        "summary": summary(rows),
        "by_class_median": by_class(rows),
        "calibration_sizes": measures.calibration_sizes(),
        "abstain": None,
        "left_out": left_out(kept, args.abstain),
        "versions": versions(),
    }
    if "abstention" not in results["left_out"]:
        results["abstain"] = abstention(args.abstain, kept, drawn)
    leave(
        out,
        results,
        "decisions",
        PICTURE,
        lambda: figure(results),
        document,
        print_table,
    )


def summary(rows: list[dict]) -> dict:
    """How far the mean rates are from what is promised, over all detectors."""
    found = {}
    for alpha in rows[0]["false_alarms"]:
        of = [r["false_alarms"][alpha] for r in rows]
        off = [abs(a["mean"] - float(alpha)) for a in of]
        low, high = of[0]["interval_tested"]
        splits = [rate for a in of for rate in a["per_split"]]
        found[alpha] = {
            "mean": float(np.mean([a["mean"] for a in of])),
            "least": min(a["mean"] for a in of),
            "most": max(a["mean"] for a in of),
            "largest_difference": max(off),
            "within_0.002": sum(d <= 0.002 for d in off),
            "detectors": len(rows),
            "splits_inside": float(np.mean([low <= r <= high for r in splits])),
        }
        trained = [
            r["training"]["false_alarms"][alpha] for r in rows if "training" in r
        ]
        if trained:
            found[alpha]["training"] = {
                "median": float(np.median(trained)),
                "least": min(trained),
                "most": max(trained),
            }
    return found


def by_class(rows: list[dict]) -> list[float]:
    """Median over detectors of the false alarms of each class; none without classes."""
    rates = [r["by_class"] for r in rows if "by_class" in r]
    # a class that is never tested has none
    return [float(np.median([r or 0.0 for r in of])) for of in zip(*rates)]


def left_out(kept: KeptScores, name: str) -> dict[str, str]:
    """What cannot be computed, and why."""
    found = {}
    if kept.training is None:
        found["thresholds by training scores"] = (
            "no scores of training images: name the training set in detect's "
            "config.data.ood"
        )
    if kept.labels is None or kept.id_name not in kept.predicted:
        why = "scores/ holds no classes: run detect again"
        found["false alarms by class"] = found["abstention"] = why
    elif name not in kept.detectors:
        found["abstention"] = (
            f"there are no scores of {name}: name another by --abstain"
        )
    if not any(map(kept.corrupted, kept.detectors)):
        found["corrupted images"] = (
            "none were scored: set detect's config.detect.corrupted"
        )
    return found


def print_table(results: dict) -> None:
    """Print false alarms, and what is found, of the first rows."""
    first, *_ = results["outliers"] or [None]
    headers = ["detector", "false alarms at 1 %", "at 5 %"]
    if first:
        headers += [f"AUROC, {first}", "found at 5 %", "BH power", "FDR"]
    lines = []
    for row in results["rows"][:PRINTED]:
        line = [row["name"]]
        line += [text.share(row["false_alarms"][a]["mean"]) for a in ("0.01", "0.05")]
        if first:
            of = row["batches"][first]["marginal"]
            line += [text.decimals(row["auroc"][first])]
            line += [text.share(row["found"][first])]
            line += [text.share(of["power"]), text.share(of["fdr"])]
        lines.append(line)
    text.print_table(
        headers,
        lines,
        title=f"Decisions: {len(lines)} of {len(results['rows'])} detectors",
        width=100,
    )

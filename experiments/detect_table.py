"""The table of detectors: metrics of each, over the networks, and how it reads."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from flowjax_ood import ood

NEEDS = {
    "train_data": "training data",
    "labels": "labels",
    "ood_validation": "OOD validation",
    "gradients": "gradients",
    "retraining": "more training",
    "head": "last layer",
}
METRICS = ("auroc", "auprc", "fpr80", "fpr95_ood_positive", "average_precision")


def measures(scores: dict[str, np.ndarray], id_name: str) -> dict:
    """`{metric: {OOD set: value}}` in both conventions, and AUROC's interval.

    FSSD's: `auprc` (trapezoids) and `fpr80`, in-distribution positive. OpenOOD's:
    `fpr95_ood_positive`. `average_precision`: in-distribution positive, in steps.
    """
    found = {name: {} for name in (*METRICS, "auroc_ci95")}
    own = scores[id_name]
    for name, other in scores.items():
        if name == id_name:
            continue
        area = ood.auroc(own, other)
        found["auroc"][name] = area.value
        found["auroc_ci95"][name] = [area.low, area.high]
        pr = {"positive": "id", "n_boot": 0}
        trapezoids = ood.aupr(own, other, interpolation="trapezoid", **pr)
        found["auprc"][name] = trapezoids.value
        found["average_precision"][name] = ood.aupr(own, other, **pr).value
        found["fpr80"][name] = ood.fpr_at_tpr(own, other, tpr=0.8, **pr).value
        at95 = ood.fpr_at_tpr(own, other, tpr=0.95, positive="ood", n_boot=0)
        found["fpr95_ood_positive"][name] = at95.value
    return found


def row(name: str, protocol: str, runs: Sequence[dict]) -> dict:
    """One row: means and standard deviations over networks, and every value.

    `auroc_ci95` is of the first network, over the draw of images. Runs that look at one
    OOD set each are put together by network.
    """
    sets = list(dict.fromkeys(n for run in runs for n in run["auroc"]))
    found = {"name": name, "protocol": protocol, "needs": _needs(runs[0]["requires"])}
    for metric in METRICS:
        values = {n: [r[metric][n] for r in runs if n in r[metric]] for n in sets}
        found[f"{metric}_per_network"] = values
        found[f"{metric}_mean"] = {n: float(np.mean(v)) for n, v in values.items()}
        found[f"{metric}_std"] = {
            n: float(np.std(v, ddof=1)) if len(v) > 1 else None
            for n, v in values.items()
        }
    found["auroc_ci95"] = {
        n: next(r["auroc_ci95"][n] for r in runs if n in r["auroc"]) for n in sets
    }
    found["chosen"] = [r["chosen"] for r in runs]
    for key in ("fit_seconds", "ms_per_image"):
        found[key] = float(np.mean([r[key] for r in runs]))
    return found


def _needs(requires) -> list[str]:
    if isinstance(requires, list):
        return requires
    return [NEEDS[key] for key, value in asdict(requires).items() if value]


def ranked(rows: list[dict]) -> list[dict]:
    """Best first, by the mean AUROC over OOD sets."""
    return sorted(rows, key=lambda r: -np.mean(list(r["auroc_mean"].values())))


def markdown(results: dict, id_name: str) -> str:
    """The rows as Markdown tables, one an OOD set; metrics in per cent."""
    rows = results["rows"]
    parts = []
    for name in dict.fromkeys(n for r in rows for n in r["auroc_mean"]):
        parts += [
            f"### {id_name} ({results['evaluated'][id_name]:,}) against {name} "
            f"({results['evaluated'][name]:,})",
            "",
            "| detector | chosen by | needs | AUROC | AUPRC | FPR80 | FPR95 (OOD "
            "positive) | ms/image |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for r in rows:
            if name in r["auroc_mean"]:
                parts.append(_line(r, name))
        parts.append("")
    return "\n".join(parts)


def _line(r: dict, name: str) -> str:
    def percent(metric):
        value, std = r[f"{metric}_mean"][name], r[f"{metric}_std"][name]
        spread = "" if std is None else f" ± {100 * std:.1f}"
        return f"{100 * value:.1f}{spread}"

    cells = [
        r["name"],
        {"none": "nothing", "leak_free": "made outliers"}.get(
            r["protocol"], "real outliers"
        ),
        ", ".join(r["needs"]) or "nothing",
        *(percent(m) for m in ("auroc", "auprc", "fpr80", "fpr95_ood_positive")),
        f"{r['ms_per_image']:.2f}",
    ]
    return f"| {' | '.join(cells)} |"

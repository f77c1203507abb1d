"""The table of detectors: metrics of each, over the networks, and how it reads."""

from collections.abc import Sequence

import numpy as np

from experiments.detect_kept import Scored
from experiments.published_detectors import NOTES, published
from flowjax_ood import ood

NEEDS = {
    "train_data": "training data",
    "labels": "labels",
    "gradients": "gradients",
    "retraining": "more training",
    "head": "last layer",
}
CHOSEN_BY = {
    "none": "nothing",
    "leak_free": "made outliers",
    "repository": "real outliers",
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


def row(
    name: str, protocol: str, runs: Sequence[Sequence[Scored]], tested: Sequence[str]
) -> dict:
    """One row: means and standard deviations over networks, and every value.

    `runs`: of each network, its scores, of all OOD sets or of one each. `tested`: the
    in-distribution set and the OOD sets of the table. `auroc_ci95` is of the first
    network, over the draw of images.
    """
    id_name = tested[0]
    measured = [
        measures({n: s for n, s in one.scores.items() if n in tested}, id_name)
        for network in runs
        for one in network
    ]
    alike = [one for network in runs for one in network]
    found = {"name": name, "protocol": protocol, "needs": alike[0].needs}
    sets = list(dict.fromkeys(n for m in measured for n in m["auroc"]))
    for metric in METRICS:
        values = {n: [m[metric][n] for m in measured if n in m[metric]] for n in sets}
        found[f"{metric}_per_network"] = values
        found[f"{metric}_mean"] = {n: float(np.mean(v)) for n, v in values.items()}
        found[f"{metric}_std"] = {
            n: float(np.std(v, ddof=1)) if len(v) > 1 else None
            for n, v in values.items()
        }
    found["auroc_ci95"] = {
        n: next(m["auroc_ci95"][n] for m in measured if n in m["auroc"]) for n in sets
    }
    found["chosen"] = [one.chosen for one in alike]
    for key in ("fit_seconds", "ms_per_image"):
        found[key] = float(np.mean([getattr(one, key) for one in alike]))
    return found


def needs(requires: ood.Requires) -> list[str]:
    """What a detector needs, in the words of the table.

    But outliers to choose by: they have a column of their own.
    """
    return [word for key, word in NEEDS.items() if getattr(requires, key)]


def ranked(rows: list[dict]) -> list[dict]:
    """Best first, by the mean AUROC over OOD sets."""
    return sorted(rows, key=lambda r: -np.mean(list(r["auroc_mean"].values())))


def markdown(results: dict, id_name: str, compare: bool = True) -> str:
    """The rows as Markdown tables, one an OOD set; metrics in per cent.

    `compare`: with the published numbers beside.
    """
    count = len(results["networks"])
    parts = [
        f"Means ± standard deviations over {count} networks; a flow's over flows. The "
        "interval is of the first network, 95 %, over the draw of images.",
        "Chosen by: `real outliers` of the tested set, kept apart from those tested; "
        "`made outliers`, training inputs taken apart; `nothing`.",
        "",
    ]
    names = list(dict.fromkeys(n for r in results["rows"] for n in r["auroc_mean"]))
    for name in names:
        rows = [r for r in results["rows"] if name in r["auroc_mean"]]
        rows.sort(key=lambda r, name=name: -r["auroc_mean"][name])
        known = [published(id_name, name, r) if compare else None for r in rows]
        columns = ["detector", "chosen by", "needs", "AUROC", "interval", "AUPRC"]
        columns += ["FPR80", "FPR95 (OOD positive)", "ms/input"]
        columns += ["published AUROC/AUPRC/FPR80"] if any(known) else []
        parts += [
            f"### {id_name} ({results['evaluated'][id_name]:,}) against {name} "
            f"({results['evaluated'][name]:,})",
            "",
            f"| {' | '.join(columns)} |",
            "|---" * len(columns) + "|",
        ]
        for r, numbers in zip(rows, known):
            cells = _cells(r, name)
            if any(known):
                cells.append(numbers.text() if numbers else "")
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
        if any(known):
            parts.append(
                "Published: Huang et al. 2021, slides or README of their code."
            )
            parts += [f"{row}: {note}." for row, note in NOTES.items()]
            parts.append("")
    return "\n".join(parts)


def _cells(r: dict, name: str) -> list[str]:
    def percent(metric):
        value, std = r[f"{metric}_mean"][name], r[f"{metric}_std"][name]
        spread = "" if std is None else f" ± {100 * std:.1f}"
        return f"{100 * value:.1f}{spread}"

    low, high = r["auroc_ci95"][name]
    return [
        r["name"],
        CHOSEN_BY[r["protocol"]],
        ", ".join(r["needs"]) or "nothing",
        percent("auroc"),
        f"{100 * low:.1f} … {100 * high:.1f}",
        *(percent(m) for m in ("auprc", "fpr80", "fpr95_ood_positive")),
        f"{r['ms_per_image']:.2f}",
    ]

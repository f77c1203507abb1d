"""The table of detectors: metrics of each over the networks, written as Markdown."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.score_cache import Scored
from flowjax_ood import ood
from flowjax_ood.interface.text import inline, markdown_table, plus_minus


class PublishedAuroc(NamedTuple):
    """`(AUROC, AUPRC, FPR80)` in per cent, and the code's README's if it has others."""

    slides: tuple[float, float, float]
    readme: tuple[float, float, float] | None = None

    def text(self) -> str:
        """Write all of them, `99.6/99.7/0.0 or 96.9/93.0/2.5`."""
        return " or ".join(
            "/".join(map(str, numbers)) for numbers in filter(None, self)
        )


# {(in-distribution set, OOD set): {row: numbers}}. Rows of MC Dropout of CIFAR-10 (its
# network here has no dropout) and of genomes (of which of both scores is not said) are
# left out.
TABLE = {
    ("fashion_mnist", "mnist"): {
        "MSP": PublishedAuroc((77.3, 79.2, 43.5), (77.3, 79.2, 42.5)),
        "ODIN": PublishedAuroc((96.9, 93.0, 2.5), (87.9, 88.0, 20.0)),
        "Mahalanobis": PublishedAuroc((99.6, 99.7, 0.0)),
        "Deep Ensembles (mean max)": PublishedAuroc((83.9, 83.3, 27.5)),
        "MC Dropout (variance)": PublishedAuroc((81.7, 85.3, 36.8), (76.5, 79.3, 42.3)),
        "Outlier Exposure": PublishedAuroc((99.6, 99.6, 0.0)),
        "FSSD": PublishedAuroc((99.6, 99.7, 0.0)),
    },
    ("cifar10", "svhn_cropped"): {
        "MSP": PublishedAuroc((89.9, 85.4, 10.1)),
        "ODIN": PublishedAuroc((96.7, 92.5, 4.7), (96.6, 96.7, 4.8)),
        "Mahalanobis": PublishedAuroc((99.1, 98.1, 0.3)),
        "Deep Ensembles (mean max)": PublishedAuroc(
            (93.7, 90.6, 3.7), (96.0, 93.9, 1.2)
        ),
        "Outlier Exposure": PublishedAuroc((90.4, 89.8, 12.5)),
        "FSSD": PublishedAuroc((99.5, 99.5, 0.4)),
    },
    ("genomics", "genomics:test_ood"): {
        "MSP": PublishedAuroc((69.6, 69.9, 57.4)),
        "ODIN": PublishedAuroc((70.6, 71.9, 55.9)),
        "Mahalanobis": PublishedAuroc((70.4, 69.3, 53.7)),
        "Deep Ensembles (mean max)": PublishedAuroc((70.0, 56.0, 30.0)),
        "FSSD (no perturbation)": PublishedAuroc((74.8, 75.8, 47.4)),
    },
}
# rows whose settings were chosen by outliers of the tested set
CHOSEN = ("ODIN", "Mahalanobis", "FSSD", "FSSD (no perturbation)")
# data that the published numbers are not of
OTHER = ("synthetic", "embedded")
NOTES = {
    "Deep Ensembles (mean max)": "published of five networks",
    "Outlier Exposure": "published with outliers that are not named, likely handwritten"
    " letters for clothing; other outliers give other numbers",
}


def published(id_name: str, ood_name: str, row: dict) -> PublishedAuroc | None:
    """Look up the published numbers of a row; None where there are none."""
    if row["name"] in CHOSEN and row["protocol"] != "repository":
        return None
    return TABLE.get((id_name, ood_name), {}).get(row["name"])


def comparable(config: ConfigDict) -> bool:
    """Tell whether a run is of the published sets, whole, validated as published."""
    c = config.data
    sources = {c.source, *c.ood_source}
    limited = c.limit_train or 0 < c.limit_test < 10_000 or c.image_size or c.channels
    whole = config.detect.validation == 1000 and not limited
    return whole and not sources & set(OTHER)


NEEDS = {
    "train_data": "training data",
    "train_inputs": "training images",
    "labels": "labels",
    "id_validation": "validation images",
    "id_labels": "labels of validation images",
    "gradients": "gradients",
    "retraining": "more training",
    "head": "last layer",
}
CHOSEN_BY = {
    "none": "nothing",
    "leak_free": "made outliers",
    "repository": "real outliers",
}
METRICS = (
    *("auroc", "auprc", "fpr80", "fpr95_ood_positive", "average_precision"),
    *("auprc_anchored", "auprc_anchored_ood_positive"),
)


def measures(scores: dict[str, np.ndarray], id_name: str) -> dict:
    """Compute `{metric: {OOD set: value}}` in both conventions, and AUROC's interval.

    FSSD's: `auprc` (trapezoids) and `fpr80`, in-distribution positive. OpenOOD's:
    `fpr95_ood_positive`, and as AUPR-IN and AUPR-OUT `auprc_anchored` and
    `auprc_anchored_ood_positive`, trapezoids from (0, 1) on. `average_precision`:
    in-distribution positive, in steps.
    """
    results: dict[str, dict] = {name: {} for name in (*METRICS, "auroc_ci95")}
    own = scores[id_name]
    pr: dict[str, Any] = {"positive": "id", "n_boot": 0}
    anchored: dict[str, Any] = {"interpolation": "anchored", "n_boot": 0}
    for name, other in scores.items():
        if name == id_name:
            continue
        area = ood.auroc(own, other)
        trapezoids = ood.aupr(own, other, interpolation="trapezoid", **pr)
        at95 = ood.fpr_at_tpr(own, other, tpr=0.95, positive="ood", n_boot=0)
        results["auroc"][name] = area.value
        results["auroc_ci95"][name] = [area.low, area.high]
        results["auprc"][name] = trapezoids.value
        results["average_precision"][name] = ood.aupr(own, other, **pr).value
        inside = ood.aupr(own, other, positive="id", **anchored)
        outside = ood.aupr(own, other, positive="ood", **anchored)
        results["auprc_anchored"][name] = inside.value
        results["auprc_anchored_ood_positive"][name] = outside.value
        results["fpr80"][name] = ood.fpr_at_tpr(own, other, tpr=0.8, **pr).value
        results["fpr95_ood_positive"][name] = at95.value
    return results


def row(
    name: str, protocol: str, runs: Sequence[Sequence[Scored]], tested: Sequence[str]
) -> dict:
    """Make a row: means and standard deviations over networks, and every value.

    `runs`: of each network, its scores, of all OOD sets or of one each. `tested`: the
    in-distribution set and the OOD sets of the table. `auroc_ci95` is of the first
    network, over the draw of images.
    """
    scored = [run for network in runs for run in network]
    measured = [
        measures({n: s for n, s in run.scores.items() if n in tested}, tested[0])
        for run in scored
    ]
    sets = list(dict.fromkeys(n for m in measured for n in m["auroc"]))

    def values(metric: str) -> dict[str, list]:
        return {n: [m[metric][n] for m in measured if n in m[metric]] for n in sets}

    results: dict[str, Any] = {
        "name": name,
        "protocol": protocol,
        "needs": scored[0].needs,
    }
    for metric in METRICS:
        of = values(metric)
        results[f"{metric}_per_network"] = of
        results[f"{metric}_mean"] = {n: float(np.mean(v)) for n, v in of.items()}
        results[f"{metric}_std"] = {
            n: float(np.std(v, ddof=1)) if len(v) > 1 else None for n, v in of.items()
        }
    results["auroc_ci95"] = {n: v[0] for n, v in values("auroc_ci95").items()}
    results["chosen"] = [run.chosen for run in scored]
    for key in ("fit_seconds", "ms_per_image"):
        results[key] = float(np.mean([getattr(run, key) for run in scored]))
    return results


def needs(requires: ood.Requires) -> list[str]:
    """List the needs of a detector, in the words of the table.

    But outliers to choose by: they have a column of their own.
    """
    return [word for key, word in NEEDS.items() if getattr(requires, key)]


def ranked(rows: list[dict]) -> list[dict]:
    """Sort, best first, by the mean AUROC over OOD sets."""
    return sorted(rows, key=lambda r: -np.mean(list(r["auroc_mean"].values())))


def markdown(results: dict, id_name: str, compare: bool = True) -> str:
    """Write the rows as Markdown tables, one an OOD set; metrics in per cent.

    `compare`: add a column of published numbers.
    """
    count, of_first = len(results["networks"]), " of the first network,"
    spread = f"Means ± standard deviations over {count} networks; a flow's over flows."
    if count == 1:
        spread, of_first = "Of one network; a flow's are means over flows.", ""
    parts = [
        f"{spread} The interval is{of_first} of 95 %, over the draw of images.",
        "Chosen by: `real outliers` of the tested set, kept apart from those tested; "
        "`made outliers`, training inputs taken apart; `nothing`.",
        "",
    ]
    counts = results["evaluated"]
    for name in dict.fromkeys(n for r in results["rows"] for n in r["auroc_mean"]):
        rows = [r for r in results["rows"] if name in r["auroc_mean"]]
        rows.sort(key=partial(_by_auroc, name))
        columns, lines = list(COLUMNS), [_cells(r, name) for r in rows]
        known = [compare and published(id_name, name, r) for r in rows]
        if any(known):
            columns.append("published AUROC/AUPRC/FPR80")
            for line, numbers in zip(lines, known):
                line.append(numbers.text() if numbers else "")
        title = f"{id_name} ({counts[id_name]:,}) against {name} ({counts[name]:,})"
        parts += [f"### {inline(title)}", "", markdown_table(columns, lines, 3), ""]
        if any(known):
            parts.append(
                "Published: Huang et al. 2021, slides or README of their code."
            )
            parts += [*(f"{row}: {note}." for row, note in NOTES.items()), ""]
    return "\n".join(parts)


COLUMNS = (
    *("detector", "chosen by", "needs", "AUROC", "interval", "AUPRC", "FPR80"),
    *("FPR95 (OOD positive)", "ms/input"),
)


def _by_auroc(name: str, row: dict) -> float:
    return -row["auroc_mean"][name]


def _cells(row: dict, name: str) -> list[str]:
    def percent(metric):
        mean, std = row[f"{metric}_mean"][name], row[f"{metric}_std"][name]
        return plus_minus(100 * mean, std and 100 * std, digits=1)

    low, high = row["auroc_ci95"][name]
    return [
        row["name"],
        CHOSEN_BY[row["protocol"]],
        ", ".join(row["needs"]) or "nothing",
        percent("auroc"),
        f"{100 * low:.1f} … {100 * high:.1f}",
        *(percent(m) for m in ("auprc", "fpr80", "fpr95_ood_positive")),
        f"{row['ms_per_image']:.2f}",
    ]

"""Measures of scores: AUROC, rates found, and costs, over runs and blocks."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.core.results import finite, mean_std
from experiments.core.score_cache import Scored
from experiments.scores.rows import Row
from experiments.scores.scoring import CALIBRATION, ID
from flowjax_ood import ood

ALARMS = 0.01


def table_rows(
    rows: Sequence[Row],
    runs: Sequence[Mapping[str, list[Scored]]],
    blocks: Mapping[str, Sequence[str]],
) -> list[dict]:
    """Measure every row that all runs have, the highest worst AUROC first.

    A score of which high values may be as unusual as low ones has a second row, of its
    two-sided p-value by the calibration images.
    """
    measured = []
    for row in rows:
        if not all(row.name in run for run in runs):
            continue
        of_runs = [run[row.name] for run in runs]
        measured.append(_row(row, of_runs, blocks, two_sided=False))
        if row.score.low_share < 1:
            measured.append(_row(row, of_runs, blocks, two_sided=True))
    return sorted(measured, key=lambda r: -r["worst"]["auroc"])


def _row(row: Row, runs: list[list[Scored]], blocks, two_sided: bool) -> dict:
    share = row.score.low_share if two_sided else 1.0
    kinds = [name for names in blocks.values() for name in names]
    per_run = [_of_run(run, kinds, share, two_sided) for run in runs]
    areas = {}
    for kind in kinds:
        values = [run["auroc"][kind] for run in per_run]
        mean, std = mean_std([value for value, *_ in values])
        ends = np.mean([ends for _, *ends in values], axis=0).tolist()
        found = float(np.mean([run["found"][kind] for run in per_run]))
        areas[kind] = {"auroc": mean, "std": std, "ci95": ends, "found": found}
    costs = [s.ms_per_image for run in runs for s in run]
    passes = [s.chosen["pass_ms"] for run in runs for s in run]
    cost = finite(np.mean(costs) / np.mean(passes)) if np.mean(passes) else None
    return {
        "score": f"{row.name}, two-sided" if two_sided else row.name,
        "control": row.control,
        "kinds": areas,
        "blocks": {block: summary(areas, names) for block, names in blocks.items()},
        "worst": summary(areas, kinds)["worst"],
        "false_alarms": float(np.mean([run["false_alarms"] for run in per_run])),
        "cost_in_passes": cost,
        "fit_seconds": float(np.mean([run[0].fit_seconds for run in runs])),
    }


def summary(areas: Mapping[str, Mapping], kinds: Sequence[str]) -> dict:
    """Mean and worst AUROC, and the mean of the rates found, over some kinds."""
    worst = min(kinds, key=lambda kind: areas[kind]["auroc"])
    return {
        "mean": float(np.mean([areas[kind]["auroc"] for kind in kinds])),
        "worst": {"kind": worst, "auroc": areas[worst]["auroc"]},
        "found": float(np.mean([areas[kind]["found"] for kind in kinds])),
    }


def _of_run(run: list[Scored], kinds, low_share: float, two_sided: bool) -> dict:
    scores = {name: s for block in run for name, s in block.scores.items()}
    calibration = scores[CALIBRATION]
    p = {
        name: ood.two_sided_p(scores[name], calibration, low_share)
        for name in (ID, *kinds)
    }
    ranked = p if two_sided else scores
    areas = {kind: ood.auroc(ranked[ID], ranked[kind]) for kind in kinds}
    return {
        "auroc": {kind: (a.value, a.low, a.high) for kind, a in areas.items()},
        "found": {kind: float(np.mean(p[kind] <= ALARMS)) for kind in kinds},
        "false_alarms": float(np.mean(p[ID] <= ALARMS)),
    }

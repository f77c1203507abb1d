"""Measures of scores: AUROC, rates found, and costs, over runs and blocks."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.core.results import finite, mean_std
from experiments.core.score_cache import Scored
from experiments.scores.alarms import ALARMS, least_p, p_values, realised
from experiments.scores.intervals import (
    LEVEL,
    Blocks,
    Placed,
    block_means,
    differences,
    pair_up,
    worst_intervals,
)
from experiments.scores.rows import COMPARED, Row
from experiments.scores.scoring import CALIBRATION, ID
from flowjax_ood import ood
from flowjax_ood.ood.paired import difference_of


class Looked(NamedTuple):
    """Image by image, means over runs: placements, and the share below `ALARMS`.

    `alarms` has the kind `ID`, too, of test images; `own`: the kinds that count for
    the row, by block.
    """

    placed: Placed
    alarms: Placed
    own: Blocks


def table_rows(
    rows: Sequence[Row],
    runs: Sequence[Mapping[str, list[Scored]]],
    blocks: Mapping[str, Sequence[str]],
    paired: Collection[str] = (),
) -> tuple[list[dict], list[dict]]:
    """`(rows, comparisons)`: measures of every row that all runs have.

    `paired`: kinds whose outlier i is made of test image i.

    Rows come with the highest worst AUROC first. A score of which high values may be as
    unusual as low ones has a second row, of its two-sided p-value by the calibration
    images. Comparisons are of `COMPARED` pairs, image by image.

    p-values are by calibration images that the score was not fitted to, where it says
    which (`calibration_rows`).
    """
    kinds = [name for names in blocks.values() for name in names]
    measured, looked = [], []
    for row in rows:
        if not all(row.name in run for run in runs):
            continue
        of_runs = [run[row.name] for run in runs]
        own = {block: _without(names, row.told) for block, names in blocks.items()}
        for two_sided in (False, True)[: 1 + (row.score.low_share < 1)]:
            found, where = _row(row, of_runs, own, kinds, paired, two_sided)
            measured.append(found)
            looked.append(where)
    _add_intervals(measured, looked, paired)
    by_name = {m["score"]: x for m, x in zip(measured, looked, strict=True)}
    compared = [
        _compared(name, control, by_name[name], by_name[control], paired)
        for name, control in COMPARED
        if by_name.keys() >= {name, control}
    ]
    return sorted(measured, key=lambda r: -r["worst"]["auroc"]), compared


def _add_intervals(
    measured: Sequence[dict], looked: Sequence[Looked], paired: Collection[str]
) -> None:
    """Put intervals of the blocks' means and of the worst into the rows."""
    placed, own = [x.placed for x in looked], [x.own for x in looked]
    means = block_means(placed, own, paired)
    alarms = block_means([x.alarms for x in looked], own, paired)
    worst = worst_intervals(placed, own, paired)
    for row, mean, share, ends in zip(measured, means, alarms, worst, strict=True):
        for block, found in row["blocks"].items():
            found["mean_ci95"] = [*mean[block][1:]]
            found["found_ci95"] = [*share[block][1:]]
            found["worst"]["ci95"] = ends[block]


def _row(
    row: Row, runs: list[list[Scored]], blocks, kinds, paired, two_sided: bool
) -> tuple[dict, Looked]:
    share = row.score.low_share if two_sided else 1.0
    calibrating = row.score.calibration_rows(len(runs[0][0].scores[CALIBRATION]))
    per_run = [
        _of_run(run, kinds, paired, calibrating, share, two_sided) for run in runs
    ]
    areas, placed, alarms = {}, {}, {}
    # numbers of test images, in what is of outliers alone
    silent = np.zeros(len(per_run[0]["alarms"][ID]))
    for kind in (ID, *kinds):
        alarms[kind] = silent, np.mean([run["alarms"][kind] for run in per_run], axis=0)
    for kind in kinds:
        values = [run["auroc"][kind] for run in per_run]
        mean, std = mean_std([value for value, *_ in values])
        ends = np.mean([ends for _, *ends in values], axis=0).tolist()
        found = float(alarms[kind][1].mean())
        areas[kind] = {"auroc": mean, "std": std, "ci95": ends, "found": found}
        sides = zip(*(run["placed"][kind] for run in per_run), strict=True)
        inside, outside = (np.mean(side, axis=0) for side in sides)
        placed[kind] = inside, outside
    costs = [s.ms_per_image for run in runs for s in run]
    passes = [s.chosen["pass_ms"] for run in runs for s in run]
    cost = finite(np.mean(costs) / np.mean(passes)) if np.mean(passes) else None
    rates, void = realised([run["p"] for run in per_run], len(calibrating), share)
    measured = {
        "score": f"{row.name}, two-sided" if two_sided else row.name,
        "control": row.control,
        "part": row.part,
        "told": [kind for kind in row.told if kind in kinds],
        "kinds": areas,
        "blocks": {block: summary(areas, names) for block, names in blocks.items()},
        "worst": summary(areas, _without(kinds, row.told))["worst"],
        "false_alarms": float(alarms[ID][1].mean()),
        "alarms": rates,
        "void": void,
        "least_p": float(np.max([run["least_p"] for run in per_run])),
        "cost_in_passes": cost,
    }
    return measured, Looked(placed, alarms, blocks)


def _without(kinds: Sequence[str], told: Collection[str]) -> list[str]:
    return [kind for kind in kinds if kind not in told]


def summary(areas: Mapping[str, Mapping], kinds: Sequence[str]) -> dict:
    """Mean and worst AUROC, and the mean of the rates found, over some kinds."""
    worst = min(kinds, key=lambda kind: areas[kind]["auroc"])
    return {
        "mean": float(np.mean([areas[kind]["auroc"] for kind in kinds])),
        "worst": {"kind": worst, "auroc": areas[worst]["auroc"]},
        "found": float(np.mean([areas[kind]["found"] for kind in kinds])),
    }


def _of_run(
    run: list[Scored], kinds, paired, calibrating, low_share: float, two_sided: bool
) -> dict:
    scores = {name: s for block in run for name, s in block.scores.items()}
    calibration = scores[CALIBRATION][calibrating]
    scores = {name: scores[name] for name in (ID, *kinds)}
    p = p_values(scores, calibration, low_share)
    ranked = p if two_sided else scores
    areas, placed = {}, {}
    for kind in kinds:
        pair = ranked[ID], ranked[kind]
        pairs = pair_up(kind, *pair, paired)
        areas[kind] = tuple(ood.auroc(*pair, paired=pairs))
        placed[kind] = ood.placements(*pair, paired=pairs)
    return {
        "auroc": areas,
        "placed": placed,
        "alarms": {name: p[name] <= ALARMS for name in p},
        "p": p[ID],
        "least_p": least_p(scores, calibration, low_share),
    }


def _compared(
    name: str, control: str, first: Looked, second: Looked, paired: Collection[str]
) -> dict:
    kinds = {}
    for kind, pair in first.placed.items():
        pairs = pair_up(kind, *pair, paired)
        found = difference_of(pair, second.placed[kind], paired=pairs, level=LEVEL)
        kinds[kind] = {"difference": found.value, "ci95": [found.low, found.high]}
    # kinds that count for both
    own = {
        block: [kind for kind in names if kind in second.own[block]]
        for block, names in first.own.items()
    }
    (areas,) = block_means([differences(first.placed, second.placed)], [own], paired)
    alarms = differences(first.alarms, second.alarms)
    (shares,) = block_means([alarms], [{**own, ID: [ID]}], (*paired, ID))
    return {
        "score": name,
        "control": control,
        "kinds": kinds,
        "blocks": {
            block: {**_difference(areas[block]), "found": _difference(shares[block])}
            for block in own
        },
        "false_alarms": _difference(shares[ID]),
    }


def _difference(ends: tuple[float, float, float]) -> dict:
    value, low, high = ends
    return {"difference": value, "ci95": [low, high]}

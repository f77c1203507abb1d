"""Measures of scores: AUROC, rates found, and costs, over runs and blocks."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from experiments.core.results import finite, mean_std
from experiments.core.score_cache import Scored
from experiments.scores.rows import COMPARED, Row
from experiments.scores.scoring import CALIBRATION, ID
from flowjax_ood import ood
from flowjax_ood.data.random import generator
from flowjax_ood.ood.paired import difference_of

ALARMS = 0.01
LEVEL = 0.95
BOOTSTRAPS = 1000

# by kind: the mean over runs of `ood.placements`, of test images and of outliers
Placed = Mapping[str, tuple[np.ndarray, np.ndarray]]


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
    """
    kinds = [name for names in blocks.values() for name in names]
    measured, placed, untold = [], [], []
    for row in rows:
        if not all(row.name in run for run in runs):
            continue
        of_runs = [run[row.name] for run in runs]
        own = {block: _without(names, row.told) for block, names in blocks.items()}
        for two_sided in (False, True)[: 1 + (row.score.low_share < 1)]:
            found, where = _row(row, of_runs, own, kinds, two_sided)
            measured.append(found)
            placed.append(where)
            untold.append(own)
    for found, ends in zip(
        measured, worst_intervals(placed, untold, paired), strict=True
    ):
        for block, interval in ends.items():
            found["blocks"][block]["worst"]["ci95"] = interval
    by_name = {m["score"]: p for m, p in zip(measured, placed, strict=True)}
    compared = [
        _compared(*pair, *(by_name[name] for name in pair), paired)
        for pair in COMPARED
        if by_name.keys() >= set(pair)
    ]
    return sorted(measured, key=lambda r: -r["worst"]["auroc"]), compared


def _row(
    row: Row, runs: list[list[Scored]], blocks, kinds, two_sided: bool
) -> tuple[dict, Placed]:
    share = row.score.low_share if two_sided else 1.0
    per_run = [_of_run(run, kinds, share, two_sided) for run in runs]
    areas, placed = {}, {}
    for kind in kinds:
        values = [run["auroc"][kind] for run in per_run]
        mean, std = mean_std([value for value, *_ in values])
        ends = np.mean([ends for _, *ends in values], axis=0).tolist()
        found = float(np.mean([run["found"][kind] for run in per_run]))
        areas[kind] = {"auroc": mean, "std": std, "ci95": ends, "found": found}
        sides = zip(*(run["placed"][kind] for run in per_run), strict=True)
        inside, outside = (np.mean(side, axis=0) for side in sides)
        placed[kind] = inside, outside
    costs = [s.ms_per_image for run in runs for s in run]
    passes = [s.chosen["pass_ms"] for run in runs for s in run]
    cost = finite(np.mean(costs) / np.mean(passes)) if np.mean(passes) else None
    measured = {
        "score": f"{row.name}, two-sided" if two_sided else row.name,
        "control": row.control,
        "part": row.part,
        "told": [kind for kind in row.told if kind in kinds],
        "kinds": areas,
        "blocks": {block: summary(areas, names) for block, names in blocks.items()},
        "worst": summary(areas, _without(kinds, row.told))["worst"],
        "false_alarms": float(np.mean([run["false_alarms"] for run in per_run])),
        "cost_in_passes": cost,
        "fit_seconds": float(np.mean([run[0].fit_seconds for run in runs])),
    }
    return measured, placed


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
        "placed": {kind: ood.placements(ranked[ID], ranked[kind]) for kind in kinds},
        "found": {kind: float(np.mean(p[kind] <= ALARMS)) for kind in kinds},
        "false_alarms": float(np.mean(p[ID] <= ALARMS)),
    }


def worst_intervals(
    placed: Sequence[Placed],
    blocks: Sequence[Mapping[str, Sequence[str]]],
    paired: Collection[str] = (),
    bootstraps: int = BOOTSTRAPS,
) -> list[dict[str, list[float]]]:
    """Bootstrap the lowest AUROC of every block: its 95 % interval, row by row.

    `blocks`: the kinds of each block that count for a row, row by row.

    Test images and outliers are drawn anew, pairs together, and the lowest taken again.
    The interval is the basic one, `2 min - quantiles`: a minimum of many noisy numbers
    is too low, that of numbers drawn again still lower, and by about as much. An AUROC
    moves with the images drawn as its mean placements do, of either set.
    """
    rng = generator(0, "bootstrap of the worst")
    found: list[dict[str, list[float]]] = [{} for _ in placed]
    if not placed:
        return found
    first = next(iter(placed[0].values()))[0]
    drawn = _weights(rng, len(first), bootstraps)
    for block in blocks[0]:
        kinds = dict.fromkeys(kind for own in blocks for kind in own[block])
        lowest = np.full((bootstraps, len(placed)), np.inf)
        observed = np.full(len(placed), np.inf)
        for kind in kinds:
            inside = np.stack([row[kind][0] for row in placed], 1)
            outside = np.stack([row[kind][1] for row in placed], 1)
            area = inside.mean(0)
            pairs = kind in paired and len(outside) == len(inside)
            own = drawn if pairs else _weights(rng, len(outside), bootstraps)
            areas = drawn @ inside + own @ outside - area
            counts = np.array([kind in row[block] for row in blocks])
            np.minimum(lowest, np.where(counts, areas, np.inf), out=lowest)
            np.minimum(observed, np.where(counts, area, np.inf), out=observed)
        tails = (1 + LEVEL) / 2, (1 - LEVEL) / 2
        ends = (2 * observed - np.quantile(lowest, tails, axis=0)).clip(0, 1)
        for row, interval in zip(found, ends.T.tolist(), strict=True):
            row[block] = interval
    return found


def _weights(rng: np.random.Generator, count: int, times: int) -> np.ndarray:
    """How often each of `count` is drawn, over `count`: `[times, count]`."""
    return rng.multinomial(count, np.full(count, 1 / count), times) / count


def _compared(
    name: str, control: str, first: Placed, second: Placed, paired: Collection[str]
) -> dict:
    kinds = {}
    for kind, pair in first.items():
        pairs = kind in paired and len(set(map(len, pair))) == 1
        found = difference_of(pair, second[kind], paired=pairs, level=LEVEL)
        kinds[kind] = {"difference": found.value, "ci95": [found.low, found.high]}
    return {"score": name, "control": control, "kinds": kinds}

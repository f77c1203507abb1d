"""Bootstrap intervals over images, of what blocks of kinds say of scores."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from flowjax_ood.data.random import generator

LEVEL = 0.95
BOOTSTRAPS = 1000

# by kind, of test images and of outliers: numbers whose mean is the measure, such as
# the means over runs of `ood.placements`
Placed = Mapping[str, tuple[np.ndarray, np.ndarray]]
Blocks = Mapping[str, Sequence[str]]


def block_means(
    placed: Sequence[Placed],
    blocks: Sequence[Blocks],
    paired: Collection[str] = (),
    bootstraps: int = BOOTSTRAPS,
) -> list[dict[str, tuple[float, float, float]]]:
    """Bootstrap the mean over each block of kinds: `(mean, low, high)`, row by row.

    `blocks`: the kinds of each block that count for a row, one or more, row by row.
    Of differences of two rows' numbers, it is the paired bootstrap of the difference.

    Test images and outliers are drawn as in `worst_intervals`, the same for all kinds
    and rows; the interval is that of percentiles. Placements say what an AUROC does;
    with zeros for test images, a kind's measure is the mean over its outliers.
    """
    rng = generator(0, "bootstrap of the means")
    found: list[dict[str, tuple[float, float, float]]] = [{} for _ in placed]
    if not placed:
        return found
    drawn = _weights(rng, _tested(placed), bootstraps)
    for block in blocks[0]:
        shares = np.array([1 / len(row[block]) for row in blocks])
        inside = np.zeros((drawn.shape[1], len(placed)))
        means = np.zeros((bootstraps, len(placed)))
        observed = np.zeros(len(placed))
        for kind, own, within, without in _by_kind(block, placed, blocks, paired):
            share = shares * [kind in row[block] for row in blocks]
            inside += share * within
            # the AUROC is the mean of either: once is enough
            means -= share * within.mean(0)
            observed += share * without.mean(0)
            if own:
                means += _weights(rng, len(without), bootstraps) @ (share * without)
            else:
                inside += share * without
        means += drawn @ inside
        ends = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
        values = np.stack([observed, *ends], 1).tolist()
        for row, value in zip(found, values, strict=True):
            row[block] = tuple(value)
    return found


def worst_intervals(
    placed: Sequence[Placed],
    blocks: Sequence[Blocks],
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
    drawn = _weights(rng, _tested(placed), bootstraps)
    for block in blocks[0]:
        lowest = np.full((bootstraps, len(placed)), np.inf)
        observed = np.full(len(placed), np.inf)
        for kind, own, inside, outside in _by_kind(block, placed, blocks, paired):
            area = inside.mean(0)
            weights = _weights(rng, len(outside), bootstraps) if own else drawn
            areas = drawn @ inside + weights @ outside - area
            counts = np.array([kind in row[block] for row in blocks])
            np.minimum(lowest, np.where(counts, areas, np.inf), out=lowest)
            np.minimum(observed, np.where(counts, area, np.inf), out=observed)
        tails = (1 + LEVEL) / 2, (1 - LEVEL) / 2
        ends = (2 * observed - np.quantile(lowest, tails, axis=0)).clip(0, 1)
        for row, interval in zip(found, ends.T.tolist(), strict=True):
            row[block] = interval
    return found


def differences(first: Placed, second: Placed) -> Placed:
    """First less second, of the same images."""
    return {
        kind: (inside - second[kind][0], outside - second[kind][1])
        for kind, (inside, outside) in first.items()
    }


def _by_kind(
    block: str,
    placed: Sequence[Placed],
    blocks: Sequence[Blocks],
    paired: Collection[str],
) -> Iterator[tuple[str, bool, np.ndarray, np.ndarray]]:
    """Kinds of a block, whether they are drawn on their own, and `[N, rows]` twice."""
    for kind in dict.fromkeys(kind for own in blocks for kind in own[block]):
        inside, outside = (np.stack([r[kind][k] for r in placed], 1) for k in (0, 1))
        yield kind, not pair_up(kind, inside, outside, paired), inside, outside


def pair_up(kind: str, inside, outside, paired: Collection[str]) -> bool:
    """Whether outlier i of a kind is made of test image i: none was left out."""
    return kind in paired and len(inside) == len(outside)


def _tested(placed: Sequence[Placed]) -> int:
    """How many test images there are."""
    return len(next(iter(placed[0].values()))[0])


def _weights(rng: np.random.Generator, count: int, times: int) -> np.ndarray:
    """How often each of `count` is drawn, over `count`: `[times, count]`."""
    return rng.multinomial(count, np.full(count, 1 / count), times) / count

"""Two scores of the same images: their AUROCs differ by how much?"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from flowjax_ood.ood.intervals import Estimate, check_level
from flowjax_ood.ood.thresholds import check_scores


def placements(
    id_scores, ood_scores, *, paired: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The share of the other set that each score is on the right side of.

    Float64 `[n_id]`: of outliers that score lower; `[n_ood]`: of in-distribution
    examples that score higher; equal scores count half. The mean of either is the
    AUROC. Source: DeLong et al. 1988.

    `paired`: outlier i was made of in-distribution example i. That comparison is left
    out: it says how a score takes a change, not whom it takes for an outlier, and of
    scores that hardly change it would decide. Raises as `check_scores` does; ValueError
    for paired scores of other numbers, and for a single pair.
    """
    inside = check_scores("id_scores", id_scores)
    outside = check_scores("ood_scores", ood_scores)
    own = _below(inside, outside), 1 - _below(outside, inside)
    if not paired:
        return own
    count = check_pairs((len(inside), len(outside)))
    pair = (inside > outside) + (inside == outside) / 2
    inside, outside = ((count * share - pair) / (count - 1) for share in own)
    return inside, outside


def _below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    others = np.sort(others)
    left, right = (np.searchsorted(others, scores, side) for side in ("left", "right"))
    return (left + right) / (2 * len(others))


def auroc_difference(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    paired: bool = False,
    level: float = 0.95,
) -> Estimate:
    """`AUROC(first) - AUROC(second)` of two scores of the same examples.

    Each is `(id_scores, ood_scores)`, with the same examples in the same order. The
    interval is normal, its variance that of differences of placements (DeLong et al.
    1988): much narrower than two intervals side by side where the scores agree on which
    examples are hard. `paired`: outlier i was made of in-distribution example i, so the
    two placements of a pair are added before their variance is taken; each is compared
    with all but its own.

    Raises ValueError for sets of other lengths or of fewer than two examples, and as
    `placements` does.
    """
    first = placements(*first, paired=paired)
    second = placements(*second, paired=paired)
    return difference_of(first, second, paired=paired, level=level)


def difference_of(
    first, second, *, paired: bool = False, level: float = 0.95
) -> Estimate:
    """The same, of the `placements` of two scores, or of their means over models."""
    check_level(level)
    sizes = [[len(part) for part in pair] for pair in (first, second)]
    if sizes[0] != sizes[1] or min(sizes[0]) < 2:
        raise ValueError(
            f"the two scores are of {sizes[0]} and {sizes[1]} examples (in-distribution"
            ", outliers); give scores of the same, at least 2 of each"
        )
    if paired:
        check_pairs(sizes[0])
    inside, outside = (a - b for a, b in zip(first, second, strict=True))
    value = float(inside.mean())
    if paired:
        variance = _of_mean(inside + outside)
    else:
        variance = _of_mean(inside) + _of_mean(outside)
    reach = NormalDist().inv_cdf((1 + level) / 2) * float(np.sqrt(variance))
    return Estimate(value, value - reach, value + reach)


def check_pairs(sizes: Sequence[int]) -> int:
    """Return how many pairs there are; ValueError unless two of them, or more."""
    if sizes[0] != sizes[1] or sizes[0] < 2:
        raise ValueError(
            "paired outliers are as many as in-distribution examples, and two or more; "
            f"got {sizes[0]} examples and {sizes[1]} outliers"
        )
    return sizes[0]


def _of_mean(values: np.ndarray) -> float:
    return values.var(ddof=1) / len(values)

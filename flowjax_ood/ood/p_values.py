"""p-values of scores by calibration, and tests that combine several of them.

The p-value of a score is the share of calibration scores that are at least as unusual.
Where inputs and calibration are exchangeable, each lies below u with probability at
most u. It depends on ranks alone: an increasing map of the scores changes nothing.
"""

import math
import warnings
from collections.abc import Callable

import numpy as np

from flowjax_ood.ood.thresholds import check_scores

# k of n + 1 ranks are a level of k / (n + 1) whatever its last bits are: 0.15, 0.1 +
# 0.05 and 3 / 20 all mean three of twenty.
ROUNDING = 1e-12


def low_p(scores, calibration) -> np.ndarray:
    """`(1 + #{calibration <= score}) / (n + 1)`: small where a score is low.

    Args:
        scores: real numbers `[N]`.
        calibration: scores `[n]` of in-distribution inputs of no training.

    Returns:
        float64 `[N]`, in `1 / (n + 1) ... 1`.

    Raises:
        TypeError: scores that are no real numbers.
        ValueError: numbers that are NaN, other shapes, and no calibration scores.
    """
    scores, ordered = _checked(scores, calibration)
    return low_ranks(scores, ordered) / (len(ordered) + 1)


def high_p(scores, calibration) -> np.ndarray:
    """`(1 + #{calibration >= score}) / (n + 1)`: small where a score is high.

    As `low_p` otherwise.
    """
    scores, ordered = _checked(scores, calibration)
    return high_ranks(scores, ordered) / (len(ordered) + 1)


def low_ranks(scores: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """`1 + #{calibration <= score}` of checked scores: integers in `1 ... n + 1`.

    `ordered`: calibration scores, ascending.
    """
    return 1 + np.searchsorted(ordered, scores, side="right")


def high_ranks(scores: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """`1 + #{calibration >= score}`, as `low_ranks`."""
    return 1 + len(ordered) - np.searchsorted(ordered, scores, side="left")


def largest_rank(alpha: float, n: int, sides: float = 1) -> int:
    """`floor(alpha (n + 1) / sides)`: ranks 1 ... k have p-values of at most alpha.

    Of n calibration scores, so at most n. Raises ValueError unless 0 < alpha < 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(
            f"alpha must lie strictly between 0 and 1, got {alpha!r}: 0.05 allows one "
            "false alarm in twenty"
        )
    return min(n, math.floor(alpha * (n + 1) / sides * (1 + ROUNDING)))


def warn_of_few(alpha: float, n: int, consequence: str, sides: int = 1) -> None:
    """Warn where n scores give no p-value as small as alpha: `largest_rank` is 0."""
    if largest_rank(alpha, n, sides) == 0:
        least = math.ceil(sides / alpha * (1 - ROUNDING)) - 1
        warnings.warn(
            f"{n} scores give no p-value as small as {alpha:g}: {consequence}; it "
            f"takes at least {least}",
            stacklevel=3,
        )


def two_sided_p(scores, calibration, low_share: float = 0.5) -> np.ndarray:
    """`min(1, p_low / w, p_high / (1 - w))`: small where a score is low or high.

    `low_share` w is the share of false alarms given to low scores; at 1 and 0 the test
    is one-sided. Valid as `low_p` is, and raises as that does.
    """
    if not 0 <= low_share <= 1:
        raise ValueError(f"low_share must be in [0, 1], got {low_share}")
    sides = []
    if low_share > 0:
        sides.append(low_p(scores, calibration) / low_share)
    if low_share < 1:
        sides.append(high_p(scores, calibration) / (1 - low_share))
    return np.minimum(1.0, np.min(sides, axis=0))


def bonferroni(p) -> np.ndarray:
    """`min(1, J min_j p_j)`: valid whatever the dependence of the J tests."""
    p = _p_values(p)
    return np.minimum(1.0, p.shape[1] * p.min(1))


def fisher(p) -> np.ndarray:
    """Upper tail of chi^2 with 2J degrees at `-2 sum_j log p_j`.

    Valid for independent tests alone: of one flow's scores, calibrate it again.
    """
    from scipy import stats

    p = _p_values(p)
    return stats.chi2.sf(-2 * np.log(p).sum(1), 2 * p.shape[1])


def cauchy(p) -> np.ndarray:
    """Upper tail of the Cauchy law at `mean_j tan((1/2 - p_j) pi)`.

    Nearly valid for small values under any dependence. Source: Liu and Xie 2020.
    """
    from scipy import stats

    p = np.minimum(_p_values(p), 1 - 1e-15)
    return stats.cauchy.sf(np.tan((0.5 - p) * np.pi).mean(1))


def harmonic(p) -> np.ndarray:
    """`min(1, e ln(J) / mean_j (1 / p_j))`, for J >= 3: valid under any dependence.

    Of one test, its p; of two, twice the harmonic mean. Source: Vovk and Wang 2020,
    section 3.
    """
    p = _p_values(p)
    count = p.shape[1]
    factor = 1.0 if count == 1 else max(2.0, np.e * np.log(count))
    return np.minimum(1.0, factor / (1 / p).mean(1))


COMBINATIONS: dict[str, Callable[..., np.ndarray]] = {
    "bonferroni": bonferroni,
    "fisher": fisher,
    "cauchy": cauchy,
    "harmonic": harmonic,
}


def combine_p(p, method: str = "bonferroni") -> np.ndarray:
    """Combine p-values of J tests of the same inputs into one.

    Args:
        p: `[N, J]`, in (0, 1].
        method: a name of `COMBINATIONS`, which says when each is valid.

    Returns:
        float64 `[N]`.

    Raises:
        ValueError: another name, numbers outside of (0, 1], or another shape.
    """
    if method not in COMBINATIONS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(COMBINATIONS)}")
    return COMBINATIONS[method](p)


def _p_values(p) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if p.ndim != 2 or not p.shape[1]:
        raise ValueError(f"p-values must be [N, J] of J >= 1 tests, got {p.shape}")
    if not ((p > 0) & (p <= 1)).all():
        bad = p[~((p > 0) & (p <= 1))][0]
        raise ValueError(f"p-values must be in (0, 1], got {bad}")
    return p


def _checked(scores, calibration) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and calibration scores in ascending order."""
    ordered = np.sort(check_scores("calibration", calibration))
    # of no scores there are no p-values
    none = np.shape(scores) == (0,)
    return np.empty(0) if none else check_scores("scores", scores), ordered

"""Confidence intervals for the metrics, and for a mean over training seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from flowjax_ood.ood.thresholds import ThresholdCounts, check_scores

Statistic = Callable[[np.ndarray, np.ndarray], float]


class Estimate(NamedTuple):
    """A value and its confidence interval: `low <= value <= high`."""

    value: float
    low: float
    high: float


def mean_ci(values, level: float = 0.95) -> Estimate:
    """`mean ± t_{(1 + level)/2, n-1} s / sqrt(n)`: Student's interval over seeds.

    The mean of n independent runs, s their standard deviation with n - 1. Assumes that
    runs scatter normally; a bounded metric close to its bound does not.

    Raises:
        ValueError: fewer than two values (one run says nothing of the spread), or a
            value that is not finite.
    """
    check_level(level)
    values = check_scores("values", values)
    if not np.isfinite(values).all():
        index = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"values[{index}] is {values[index]}: a mean needs finite values; leave "
            "the failed run out and say so"
        )
    if len(values) < 2:
        raise ValueError(
            "values holds one run, which has no spread: run another seed, or report "
            "the value without an interval"
        )
    from scipy.special import stdtrit

    n = len(values)
    mean = float(values.mean())
    reach = float(stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - reach, mean + reach)


def logit_interval(value: float, log_odds: float, std: float, level: float) -> Estimate:
    """`expit(log_odds ± z std / (value (1 - value)))`: an interval inside [0, 1].

    Normal on the log-odds scale, `std` on the scale of `value` (delta method).
    `log_odds` is logit(value), less its bias where that is known.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    reach = z * std / (value * (1 - value))
    low, high = _expit(log_odds - reach), _expit(log_odds + reach)
    return Estimate(value, min(low, value), max(high, value))


def unseen_fraction(n: int, level: float) -> float:
    """`1 - (1 - level)^(1/n)`: the share of a population that n draws may all miss.

    The largest one missed with probability 1 - level: Clopper & Pearson's (1934)
    one-sided bound for 0 successes in n trials, about 3/n at 95% ("rule of three").
    """
    return -math.expm1(math.log1p(-level) / n)


def bootstrap_interval(
    counts: ThresholdCounts,
    statistic: Statistic,
    *,
    level: float,
    n_boot: int,
    seed: int,
    scale: Literal["logit", "percentile"],
    floor: float = 0.0,
) -> Estimate:
    """Bootstrap `statistic(positive, negative)` in [floor, 1], stratified.

    Each replicate redraws the positives and the negatives separately, as multinomial
    counts over the distinct thresholds, in O(n). `scale="percentile"` takes quantiles
    of the replicates (Efron & Tibshirani 1993, ch. 13). `scale="logit"` uses their
    standard deviation and bias on the log-odds scale (ch. 10): better for smooth
    statistics, whose percentile intervals cover too rarely close to 1.

    Resampling cannot show what was never drawn, and says "certain" where classes are
    separated, scores are all equal or the statistic is at a bound. There, the interval
    is widened to the values the statistic takes when a fraction
    `unseen_fraction(min(n_positive, n_negative))` of either class lies above, or below,
    every score. `n_boot=0` skips the interval: its ends are NaN.
    """
    check_level(level)
    value = float(statistic(*counts))
    if n_boot == 0:
        return Estimate(value, math.nan, math.nan)
    if n_boot < 2 / (1 - level):
        raise ValueError(
            f"n_boot={n_boot} replicates cannot resolve the tails of a {level:g} "
            f"interval: use at least {math.ceil(2 / (1 - level))} (1000 is usual), or "
            "0 for no interval"
        )
    replicates = _replicates(counts, statistic, n_boot, seed)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2]).tolist()
    if scale == "logit" and 0 < value < 1 and low < high:
        bias = float(replicates.mean()) - value
        log_odds = math.log(value / (1 - value)) - bias / (value * (1 - value))
        std = float(replicates.std(ddof=1))
        _, low, high = logit_interval(value, log_odds, std, level)
    ends = [value, low, high]
    if low == high or value in (floor, 1.0) or _separated(counts):
        ends += _unseen_values(counts, statistic, level)
    return Estimate(value, max(min(ends), floor), min(max(ends), 1.0))


def check_level(level: float) -> None:
    """Raise ValueError unless `level` is a confidence level strictly inside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(
            f"level must lie strictly between 0 and 1, got {level!r}: use 0.95 for a "
            "95% interval"
        )


def _replicates(counts, statistic, n_boot: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bins = len(counts.positive)
    # Item -> threshold. Drawing items and counting their thresholds is the multinomial
    # draw, several times faster than one binomial per threshold.
    items = [np.repeat(np.arange(bins), count) for count in counts]
    replicates = np.empty(n_boot)
    for b in range(n_boot):
        drawn = [item[rng.integers(len(item), size=len(item))] for item in items]
        replicates[b] = statistic(*(np.bincount(d, minlength=bins) for d in drawn))
    return replicates


def _separated(counts: ThresholdCounts) -> bool:
    positive, negative = (np.flatnonzero(count) for count in counts)
    return bool(positive[-1] < negative[0] or negative[-1] < positive[0])


def _unseen_values(counts, statistic, level: float) -> list[float]:
    """Values with the unseen fraction of either class above, or below, every score."""
    totals = [int(count.sum()) for count in counts]
    unseen = unseen_fraction(min(totals), level)
    as_seen = [np.concatenate([[0], count, [0]]) for count in counts]
    values = []
    for moved in (0, 1):
        for extreme in (0, -1):
            shifted = list(as_seen)
            shifted[moved] = (1 - unseen) * as_seen[moved]
            shifted[moved][extreme] = unseen * totals[moved]
            values.append(float(statistic(*shifted)))
    return values


def _expit(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))

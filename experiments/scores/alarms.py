"""p-values by calibration, and whether false alarms are as many as those promise."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np

from experiments.scores.intervals import LEVEL
from flowjax_ood import ood
from flowjax_ood.ood.p_values import largest_rank
from flowjax_ood.runtime.messages import warn

# level that outliers are found at
ALARMS = 0.01
# levels that false alarms are held against their intervals at
LEVELS = (ALARMS, 0.05)
FEW, MANY = "too few", "too many"
NAMED = 3


@cache
def promised(alpha: float, n: int, count: int, low_share: float) -> tuple[float, float]:
    """`(low, high)`: where the share of `count` images with p <= alpha lies.

    Of n calibration scores without ties, that share of all images is of the law Beta(k,
    n + 1 - k), k = floor(alpha w (n + 1)) + floor(alpha (1 - w) (n + 1)), w = low_share
    (Vovk 2012, section 2): of `count` images, beta-binomial. Intervals at all `LEVELS`
    hold at once in 95 % or more.
    """
    shares = [share for share in (low_share, 1 - low_share) if share > 0]
    k = sum(largest_rank(alpha, n, 1 / share) for share in shares)
    if k == 0:
        return 0.0, 0.0
    from scipy.stats import betabinom

    tail = (1 - LEVEL) / len(LEVELS) / 2
    low, high = betabinom(count, k, n + 1 - k).ppf([tail, 1 - tail]) / count
    return float(low), float(high)


def realised(
    p: Sequence[np.ndarray], n: int, low_share: float
) -> tuple[dict[str, dict], str | None]:
    """Rates of false alarms by level, and "too few", "too many" or None.

    `p`: p-values of test images, run by run; n: how many images calibrate. Rates are
    means over runs of the same images, with the interval of `promised`. Where
    one is outside, the row is void.
    """
    rates, wrong = {}, None
    for alpha in LEVELS:
        rate = float(np.mean([(values <= alpha).mean() for values in p]))
        low, high = promised(alpha, n, len(p[0]), low_share)
        rates[f"{alpha:g}"] = {"rate": rate, "interval": [low, high]}
        if rate > high:
            wrong = MANY
        elif rate < low:
            wrong = wrong or FEW
    return rates, wrong


def least_p(
    scores: Mapping[str, np.ndarray], calibration: np.ndarray, low_share: float
) -> float:
    """The least p-value that an image may have, as far as those scored tell.

    `1 / (n + 1)` over the share of a side; more where several calibration scores are
    equal at that end and no image, of those `scores` either, is beyond: scores that are
    the least of a few p-values have a floor.
    """
    sides = [(low_share, 1), (1 - low_share, -1)]
    found = []
    for share, sign in sides:
        if share > 0:
            ordered = sign * calibration
            end = min(ordered.min(), *((sign * s).min() for s in scores.values()))
            ties = np.sum(ordered == end)
            ties = 0 if ties < 2 else ties
            found.append((1 + ties) / (len(calibration) + 1) / share)
    return float(min(1.0, *found))


def p_values(
    scores: Mapping[str, np.ndarray], calibration: np.ndarray, low_share: float
) -> dict[str, np.ndarray]:
    """p-values of every set."""
    return {n: ood.two_sided_p(s, calibration, low_share) for n, s in scores.items()}


def warn_of(rows: Iterable[Mapping]) -> None:
    """Warn of rows that can raise no alarm, and of those whose false alarms are off."""
    rows = list(rows)
    unable = [row for row in rows if row["least_p"] > ALARMS]
    if unable:
        least = min(row["least_p"] for row in unable)
        warn(
            f"no image can be found at {ALARMS:.0%} by {_names(unable)}: the least p-"
            f"value that there is of {least:.3g} or more; calibrate on more images"
        )
    for wrong in (MANY, FEW):
        void = [r for r in rows if r["void"] == wrong and r["least_p"] <= ALARMS]
        if void:
            warn(
                f"{wrong} false alarms for the p-values to hold by {_names(void)}: see "
                '"void" in results.json'
            )


def _names(rows: Sequence[Mapping]) -> str:
    names = [row["score"] for row in rows]
    more = len(names) - NAMED
    return "; ".join(names[:NAMED]) + (f"; and {more} more" if more > 0 else "")

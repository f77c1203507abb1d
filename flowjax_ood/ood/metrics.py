"""Threshold-free and fixed-threshold metrics of an out-of-distribution score.

Every function takes `(id_scores, ood_scores)`, 1-d and higher for more
in-distribution, treats equal scores as exactly equal, and returns an `Estimate`: the
value with its confidence interval over the draw of test images. That interval says
nothing of the spread over training seeds; see `mean_ci` for that.

Where the choice of the positive class changes the number, `positive` must be named:
papers differ, and the two numbers are not interchangeable.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import numpy as np

from flowjax_ood.ood.intervals import (
    Estimate,
    bootstrap_interval,
    check_level,
    logit_interval,
    unseen_fraction,
)
from flowjax_ood.ood.p_values import ROUNDING
from flowjax_ood.ood.paired import placements
from flowjax_ood.ood.thresholds import Positive, check_scores, threshold_counts


def auroc(
    id_scores, ood_scores, *, paired: bool = False, level: float = 0.95
) -> Estimate:
    """`P(id > ood) + P(id = ood) / 2`: the area under the ROC curve.

    Exact under ties (Mann-Whitney by mid-ranks). Both classes play the same part:
    `auroc(a, b) = 1 - auroc(b, a)`, intervals included.

    The interval is DeLong, DeLong & Clarke-Pearson's (1988), with variance
    `S10 / n_id + S01 / n_ood` of the two sets' placements found in O(n log n) (Sun &
    Xu 2014), on the log-odds scale. Where that variance cannot speak:
      * estimates of 0 or 1 get the one-sided exact bound `(1 - level)^(1/n)`, n =
        min(n_id, n_ood): n disjoint pairs all come out right with probability at most
        AUROC^n (cf. Clopper & Pearson 1934);
      * a set with one score, or scores all equal, get the largest variance possible,
        `AUROC (1 - AUROC) / n` (Birnbaum & Klose 1957).

    `paired`: outlier i was made of in-distribution example i. Then the interval is
    around the AUROC without the comparisons of a pair, and its variance that of the sum
    of a pair's two placements, by n: less, where the score takes an example and what is
    made of it alike. Of n pairs, n / 2 comparisons have no example in common: they are
    the n of the exact bound. Where no two comparisons of two pairs differ, as of a
    score that keeps its order, the interval is what n / 2 of them may miss.

    Raises TypeError or ValueError as `check_scores` does, or for `level`; ValueError
    as `placements` does.
    """
    check_level(level)
    counts = threshold_counts(id_scores, ood_scores, "id")
    n_id, n_ood = int(counts.positive.sum()), int(counts.negative.sum())
    # Negatives strictly below each threshold, plus half of those at it, doubled so
    # that the whole count stays in integers.
    id_wins = 2 * (n_ood - np.cumsum(counts.negative)) + counts.negative
    wins = int((counts.positive * id_wins).sum())
    losses = 2 * n_id * n_ood - wins
    value = wins / (wins + losses)
    smaller = min(n_id, n_ood)
    if paired:
        inside, outside = placements(id_scores, ood_scores, paired=True)
        return _paired_interval(value, inside, outside, level)
    if losses == 0:
        return Estimate(value, 1 - unseen_fraction(smaller, level), 1.0)
    if wins == 0:
        return Estimate(value, 0.0, unseen_fraction(smaller, level))
    if smaller == 1 or len(id_wins) == 1:
        variance = value * (1 - value) / smaller
    else:
        ood_losses = 2 * np.cumsum(counts.positive) - counts.positive
        variance = _variance_of_mean(id_wins / (2 * n_ood), counts.positive)
        variance += _variance_of_mean(ood_losses / (2 * n_id), counts.negative)
    return logit_interval(value, math.log(wins / losses), math.sqrt(variance), level)


def _paired_interval(
    value: float, inside: np.ndarray, outside: np.ndarray, level: float
) -> Estimate:
    """The interval of an AUROC by placements of pairs, which has the value in it."""
    centre, count = float(inside.mean()), len(inside)
    # what as many comparisons as have no example in common may all miss
    unseen = unseen_fraction(count // 2, level)
    std = float((inside + outside).std(ddof=1)) / math.sqrt(count)
    if centre in (0.0, 1.0):
        low, high = sorted((centre, abs(centre - unseen)))
    elif std <= ROUNDING:
        # there, a comparison could only be right or wrong by a half more
        low, high = centre - unseen / 2, centre + unseen / 2
    else:
        log_odds = math.log(centre / (1 - centre))
        _, low, high = logit_interval(centre, log_odds, std, level)
    return Estimate(value, max(min(value, low), 0.0), min(max(value, high), 1.0))


def aupr(
    id_scores,
    ood_scores,
    *,
    positive: Positive,
    interpolation: Literal["step", "trapezoid", "anchored"] = "step",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Compute the area under the precision-recall curve, the positive class named.

    Over the distinct thresholds k, with recall R_k and precision P_k:
      * `"step"`: `sum_k (R_k - R_{k-1}) P_k`, R_0 = 0: average precision, as in
        scikit-learn. No interpolation, so no optimism.
      * `"trapezoid"`: `sum_{k>=2} (R_k - R_{k-1}) (P_k + P_{k-1}) / 2` from the first
        threshold's point, with no (0, 1) anchor: the convention of FSSD (Huang et al.
        2021). The first threshold's area is lost: all of it for a constant score.
        Lee et al. (2018) close their curve at (0, 0), which adds 1 / (2 n) of n
        positives where all scores differ and the highest is a positive's.
      * `"anchored"`: the trapezoids from the point (0, 1) on: scikit-learn's
        `auc(recall, precision)`, which OpenOOD and pytorch-ood report. A constant
        score gets (1 + share of positives) / 2.

    Straight lines between points of this curve are optimistic (Davis & Goadrich 2006):
    the last two are for comparison with published numbers only.

    Depends on n_id : n_ood; a random score gets the share of positives. The interval
    is a stratified bootstrap on the log-odds scale (see `bootstrap_interval`).

    Raises TypeError or ValueError as `check_scores` does, or for the options.
    """
    areas = {
        "step": _step_area,
        "trapezoid": _trapezoid_area,
        "anchored": _anchored_area,
    }
    if interpolation not in areas:
        raise ValueError(
            'interpolation must be "step" (average precision), "trapezoid" or '
            f'"anchored", got {interpolation!r}'
        )
    counts = threshold_counts(id_scores, ood_scores, positive)
    area = areas[interpolation]
    return bootstrap_interval(
        counts, area, level=level, n_boot=n_boot, seed=seed, scale="logit"
    )


def fpr_at_tpr(
    id_scores,
    ood_scores,
    *,
    tpr: float = 0.95,
    positive: Positive,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Compute the share of negatives accepted where `tpr` of the positives are.

    `positive="id"`: OOD images accepted when the threshold accepts `tpr` of the ID
    images (Ren et al. 2019; FSSD's FPR80). `positive="ood"`: ID images rejected when
    `tpr` of the OOD images are rejected (OpenOOD's FPR95). The threshold is the
    strictest distinct score that reaches `tpr`; all images tied with it go with it.

    The interval is a percentile stratified bootstrap, which redraws the threshold
    along with the images. A perfect score on fewer than about 3 / (1 - tpr) positives
    gets [0, 1]: the share of them that is yet to be seen may exceed 1 - tpr.

    Raises TypeError or ValueError as `check_scores` does, or for the options.
    """
    _check_rate(tpr)
    counts = threshold_counts(id_scores, ood_scores, positive)
    statistic = partial(_false_positive_rate, tpr=tpr)
    return bootstrap_interval(
        counts, statistic, level=level, n_boot=n_boot, seed=seed, scale="percentile"
    )


def threshold(id_scores, *, tpr: float = 0.95) -> float:
    """Choose the strictest threshold that accepts `tpr` of in-distribution scores.

    `scores >= threshold` accepts: of the scores given, at least `tpr`, and of outliers
    what `fpr_at_tpr(id_scores, ood_scores, tpr=tpr, positive="id")` says. Choose it on
    other images than those that are then told apart.

    Raises TypeError or ValueError as `check_scores` does, or for `tpr`.
    """
    _check_rate(tpr)
    scores = np.sort(check_scores("id_scores", id_scores))[::-1]
    accepted = math.ceil(tpr * len(scores) * (1 - ROUNDING))
    return float(scores[accepted - 1])


def detection_accuracy(
    id_scores,
    ood_scores,
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> Estimate:
    """`max (TPR + TNR) / 2` over thresholds: the best balanced accuracy, at least 1/2.

    Either class may be the positive one. Choosing the threshold on the test images
    makes it optimistic: most of all for scores close to random, where its interval,
    a stratified bootstrap less its estimated bias, still covers too rarely.

    Raises TypeError or ValueError as `check_scores` does, or for the options.
    """
    counts = threshold_counts(id_scores, ood_scores, "id")
    return bootstrap_interval(
        counts,
        _best_accuracy,
        level=level,
        n_boot=n_boot,
        seed=seed,
        scale="logit",
        floor=0.5,
    )


def roc_curve(id_scores, ood_scores) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ROC curve `(fpr [K+1], tpr [K+1])`, ID positive, (0, 0) to (1, 1).

    One point per distinct score, from the highest down, so that straight lines
    between the points enclose exactly `auroc`.
    """
    curves = []
    for count in threshold_counts(id_scores, ood_scores, "id"):
        curves.append(np.concatenate([[0], np.cumsum(count)]) / count.sum())
    tpr, fpr = curves
    return fpr, tpr


def _check_rate(tpr: float) -> None:
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must lie in (0, 1], got {tpr!r}: use 0.95 for FPR95")


def _variance_of_mean(values: np.ndarray, counts: np.ndarray) -> float:
    n = counts.sum()
    mean = (counts * values).sum() / n
    return float((counts * (values - mean) ** 2).sum() / (n - 1) / n)


def _precision(positive, negative) -> tuple[np.ndarray, np.ndarray]:
    """Positives and precision by threshold, from the first that accepts anything."""
    true = np.cumsum(positive)
    accepted = true + np.cumsum(negative)
    # A bootstrap replicate may leave the first thresholds empty: 0/0, no point there.
    first = int(np.argmax(accepted > 0))
    return positive[first:], true[first:] / accepted[first:]


def _step_area(positive, negative) -> float:
    gained, precision = _precision(positive, negative)
    return (gained * precision).sum() / gained.sum()


def _trapezoid_area(positive, negative) -> float:
    gained, precision = _precision(positive, negative)
    return (gained[1:] * (precision[1:] + precision[:-1])).sum() / 2 / gained.sum()


def _anchored_area(positive, negative) -> float:
    gained, precision = _precision(positive, negative)
    before = np.concatenate([[1.0], precision[:-1]])
    return (gained * (precision + before)).sum() / 2 / gained.sum()


def _false_positive_rate(positive, negative, tpr: float) -> float:
    true = np.cumsum(positive)
    strictest = np.searchsorted(true, tpr * true[-1] * (1 - ROUNDING))
    return negative[: strictest + 1].sum() / negative.sum()


def _best_accuracy(positive, negative) -> float:
    gain = np.cumsum(positive) / positive.sum() - np.cumsum(negative) / negative.sum()
    return (1 + gain.max()) / 2  # The last threshold accepts all: gain 0.

"""Thresholds that bound an expected loss: conformal risk control, and abstention."""

from typing import NamedTuple

import numpy as np

from flowjax_ood.ood.p_values import ROUNDING, largest_rank, warn_of_few
from flowjax_ood.ood.thresholds import check_scores


class RiskControl(NamedTuple):
    """A threshold, and what calibration says of the loss at it.

    `empirical`: mean loss of the n calibration examples. `bound`: `(n empirical + B) /
    (n + 1)`, of losses of at most B; it is at most alpha. At the threshold +inf nothing
    is decided and both are 0.
    """

    threshold: float
    empirical: float
    bound: float


def control_risk(losses, thresholds, alpha: float, bound: float = 1.0) -> RiskControl:
    """Choose the least threshold with `n/(n+1) mean loss + B/(n+1) <= alpha`.

    Then the expected loss of a new example at it is at most alpha, if calibration
    examples and the new one are exchangeable and losses fall along thresholds. +inf
    where no threshold will do: decide nothing, which must have no loss.
    Source: Angelopoulos, Bates, Fisch, Lei and Schuster 2024, theorem 1.

    Args:
        losses: `[n, T]`, of n held-out examples at every threshold, in [0, bound] and
            not rising along thresholds.
        thresholds: `[T]`, ascending.
        alpha: bound of the expected loss, positive and below `bound`.
        bound: B, the largest loss there can be.

    Raises:
        ValueError: losses that rise or leave [0, bound], with the place of the first;
            NaN; other shapes; thresholds that do not rise; another alpha or bound.
    """
    thresholds = check_scores("thresholds", thresholds)
    rising = thresholds[1:] > thresholds[:-1]
    if not rising.all():
        at = int(np.argmin(rising))
        raise ValueError(
            f"thresholds must be ascending: number {at} is {thresholds[at]} and number "
            f"{at + 1} is {thresholds[at + 1]}"
        )
    if not 0 < bound < np.inf:
        raise ValueError(f"bound must be positive and finite, got {bound!r}")
    if not 0 < alpha < bound:
        raise ValueError(
            f"alpha must lie strictly between 0 and the largest loss, {bound:g}; got "
            f"{alpha!r}"
        )
    losses = _checked_losses(losses, len(thresholds), bound)
    ends = len(losses) + 1
    sums = losses.sum(0)
    good = sums + bound <= alpha * ends * (1 + ROUNDING)
    if not good.any():
        warn_of_few(alpha / bound, len(losses), "the threshold is infinite")
        return RiskControl(np.inf, 0.0, 0.0)
    first = int(np.argmax(good))
    total = float(sums[first])
    mean = total / len(losses)
    return RiskControl(float(thresholds[first]), mean, (total + bound) / ends)


def abstain(scores, wrong, alpha: float) -> RiskControl:
    """Choose t so that `P(score > t and wrong) <= alpha`: accept where `score > t`.

    The least such t, so most are accepted, of `control_risk` for the loss 1{accepted
    and wrong}: O(n log n). -inf accepts all; +inf, with a warning where n is too small
    for alpha, abstains always. The bound is on errors among all inputs; among those
    accepted their share is larger. It ends where inputs are no longer exchangeable
    with those of calibration.

    Args:
        scores: `[n]` of held-out examples, higher = more certain.
        wrong: booleans `[n]`, whether the decision on each would be wrong.
        alpha: in (0, 1).

    Raises:
        TypeError: `wrong` that are not booleans, scores that are not numbers.
        ValueError: NaN, no scores, other shapes, alpha outside (0, 1).
    """
    scores = check_scores("scores", scores)
    wrong = np.asarray(wrong)
    if wrong.dtype != bool:
        raise TypeError(
            f"wrong must be booleans, got dtype {wrong.dtype}: of predictions, "
            "predicted != labels"
        )
    if wrong.shape != scores.shape:
        raise ValueError(
            f"wrong of shape {wrong.shape} do not go with scores of shape "
            f"{scores.shape}"
        )
    n = len(scores)
    warn_of_few(alpha, n, "the threshold is infinite and accepts nothing")
    k = largest_rank(alpha, n)
    if k == 0:
        return RiskControl(np.inf, 0.0, 0.0)
    errors = np.sort(scores[wrong])
    threshold = float(errors[-k]) if len(errors) >= k else -np.inf
    accepted = int((errors > threshold).sum())
    return RiskControl(threshold, accepted / n, (accepted + 1) / (n + 1))


def _checked_losses(losses, count: int, bound: float) -> np.ndarray:
    losses = np.asarray(losses, np.float64)
    if losses.ndim != 2 or losses.shape[1] != count or not len(losses):
        raise ValueError(
            f"losses must be [n, T] = [n, {count}] of n >= 1 examples, got shape "
            f"{losses.shape}"
        )
    # NaN is in no range
    wrong = ~((losses >= 0) & (losses <= bound * (1 + ROUNDING)))
    if wrong.any():
        row, column = _first(wrong)
        raise ValueError(
            f"losses[{row}, {column}] is {losses[row, column]}, outside [0, {bound:g}]:"
            " give the largest loss there can be as bound"
        )
    rises = losses[:, 1:] > losses[:, :-1]
    if rises.any():
        row, column = _first(rises)
        raise ValueError(
            f"losses must not rise along thresholds: losses[{row}, {column}] is "
            f"{losses[row, column]:g} and the next is {losses[row, column + 1]:g}"
        )
    return losses


def _first(where: np.ndarray) -> tuple[int, int]:
    row, column = np.argwhere(where)[0]
    return int(row), int(column)

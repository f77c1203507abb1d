"""Which of many p-values to reject: each by itself, or with few errors among them."""

from typing import Literal, NamedTuple

import numpy as np

from flowjax_ood.ood.p_values import ROUNDING

Control = Literal["each", "fdr", "fdr_any", "any"]


class Rejections(NamedTuple):
    """Decisions on m inputs: `reject` bool `[m]`, and adjusted p-values `[m]`.

    An input is rejected at a level where its `adjusted` is at most that.
    """

    reject: np.ndarray
    adjusted: np.ndarray


def reject(p, level: float = 0.1, control: Control = "each") -> Rejections:
    """Reject those of m p-values whose adjusted value is at most `level`.

    `control`, what `level` bounds; p-values `p_(1) <= ... <= p_(m)`:

    * "each": the rate of false alarms of every input by itself; adjusted is p;
    * "fdr": the expected share of false alarms among those rejected, of tests that are
      independent or positively dependent, as p-values by one calibration set are:
      `min_{j >= i} m p_(j) / j` (Benjamini and Hochberg 1995);
    * "fdr_any": the same under any dependence, `sum_{j <= m} 1 / j` times as large
      (Benjamini and Yekutieli 2001);
    * "any": the probability of one false alarm or more, under any dependence:
      `max_{j <= i} (m - j + 1) p_(j)` (Holm 1979).

    Args:
        p: `[m]`, in (0, 1].
        level: in (0, 1).
        control: one of the four.

    Raises:
        ValueError: numbers outside of (0, 1], with the index of the first; another
            shape or no p-values; another level or control.
    """
    p = check_p_values(p)
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")
    if control not in _ADJUST:
        raise ValueError(
            f"control must be one of {', '.join(_ADJUST)}, got {control!r}"
        )
    adjusted = _ADJUST[control](p)
    return Rejections(adjusted <= level * (1 + ROUNDING), adjusted)


def check_p_values(p) -> np.ndarray:
    """Return p-values as float64 `[m]`. Raises ValueError as `reject` does."""
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or not len(p):
        raise ValueError(f"p must be [m] of m >= 1 p-values, got shape {p.shape}")
    good = (p > 0) & (p <= 1)
    if not good.all():
        index = int(np.argmin(good))
        raise ValueError(
            f"p[{index}] is {p[index]}: p-values lie in (0, 1]; of scores, "
            "Calibration.p_values makes them"
        )
    return p


def _benjamini(method: str):
    def adjust(p):
        from scipy.stats import false_discovery_control

        return false_discovery_control(p, method=method)

    return adjust


def _holm(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted


_ADJUST = {
    "each": np.copy,
    "fdr": _benjamini("bh"),
    "fdr_any": _benjamini("by"),
    "any": _holm,
}

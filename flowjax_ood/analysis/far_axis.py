"""An axis for sets that lie far from each other: linear at one, compressed beyond.

The log-likelihood of OOD vectors can be a thousand times further from that of ID ones
than these are spread. On a linear axis one of the two is a line at the edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowjax_ood.analysis import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# a linear axis is left alone while the ID set takes this share of it
LEAST_SHARE = 0.2
# at most so many ticks; with fewer than enough, less round ones are looked for
TICKS, ENOUGH = 7, 4
# first digits of round numbers, the roundest first
DIGITS = ((0, 1), (5,), (2,), (3, 4, 6, 7, 8, 9), range(15, 100, 10), range(10, 100))


class FarAxis(NamedTuple):
    """`u = asinh((v - center) / width)`: linear within `width`, logarithmic beyond."""

    center: float
    width: float

    def to(self, values: np.ndarray) -> np.ndarray:
        """Where values are on the axis."""
        return np.arcsinh((values - self.center) / self.width)

    def back(self, at: np.ndarray) -> np.ndarray:
        """The values at places on the axis."""
        return self.center + self.width * np.sinh(at)

    def label(self, axes: Axes) -> None:
        """Tick the x axis, drawn in u, with the round numbers there are room for."""
        low, high = axes.get_xlim()
        found = self._ticks(low, high)
        axes.set_xticks(self.to(np.array(found)), [_short(v) for v in found])

    def _ticks(self, low: float, high: float) -> list[float]:
        least = (high - low) / TICKS
        ends = self.back(np.array([low, high]))
        chosen: list[float] = []
        for digits in DIGITS:
            for value in _numbers(digits, *ends):
                at = self.to(value)
                if all(abs(at - self.to(other)) >= least for other in chosen):
                    chosen.append(value)
            if len(chosen) >= ENOUGH:
                break
        return sorted(chosen)


def far_axis(reference: np.ndarray, groups: Iterable[np.ndarray]) -> FarAxis | None:
    """The axis on which `reference` is in sight among `groups`; None for a linear one.

    All are vectors `[N]`; what is not finite is left out.
    """
    low, high = style.robust_limits([reference])
    whole_low, whole_high = style.robust_limits(list(groups))
    if high - low >= LEAST_SHARE * (whole_high - whole_low):
        return None
    finite = reference[np.isfinite(reference)]
    return FarAxis(float(np.median(finite)), (high - low) / 2)


def _numbers(digits: Iterable[int], low: float, high: float) -> Iterable[float]:
    """`digits` times powers of ten, from `low` to `high`, the largest powers first."""
    largest = max(abs(low), abs(high), 1.0)
    for power in range(math.ceil(math.log10(largest)), -3, -1):
        for digit in digits:
            value = digit * 10.0**power
            yield from (v for v in {-value, value} if low <= v <= high)


def _short(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M".replace("-", "−")
    text = f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"
    return text.replace("-", "−")

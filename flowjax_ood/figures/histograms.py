"""Panels of histograms that compare sets, and the axis on which far sets are seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS, FEWEST_BINS = 64, 24
# a linear axis is left alone while the ID set takes this share of it
LEAST_SHARE = 0.2
# at most so many ticks; with fewer than enough, less round ones are looked for
TICKS, ENOUGH = 7, 4
# first digits of round numbers, the roundest first
DIGITS = ((0, 1), (5,), (2,), (3, 4, 6, 7, 8, 9), range(15, 100, 10), range(10, 100))

Limits = tuple[float, float]


def common_limits(limits: dict[str, Limits]) -> dict[str, Limits]:
    """Choose one range for all panels, unless it would leave one mostly empty."""
    low = min(low for low, _ in limits.values())
    high = max(high for _, high in limits.values())
    if high - low <= 2 * min(b - a for a, b in limits.values()):
        return dict.fromkeys(limits, (low, high))
    return limits


def draw_histograms(
    axes: Axes,
    sets: Mapping,
    limits: Limits,
    colors: Mapping,
    id_name: str,
    label: str,
) -> None:
    """Draw densities of `{set: values [N]}`, over all N values, shown or not."""
    # few values in many bins are a comb
    smallest = min(values.size for values in sets.values())
    bins = int(np.clip(3 * np.sqrt(smallest), FEWEST_BINS, BINS))
    edges = np.linspace(*limits, bins + 1)
    alpha = 0.38 if len(sets) < 3 else 0.2  # many overlapping fills turn to mud
    # The ID set last: it is the reference, and its outline stays on top.
    for name in sorted(sets, key=lambda name: name == id_name):
        counts, _ = np.histogram(sets[name], edges)
        density = counts / (sets[name].size * (edges[1] - edges[0]))
        if not counts.any():
            continue  # all of it lies outside, which the caption says
        # From the first to the last filled bin: no outline along the axis.
        first, last = np.flatnonzero(counts)[[0, -1]]
        step = density[first : last + 1], edges[first : last + 2]
        axes.stairs(*step, fill=True, color=colors[name], alpha=alpha, lw=0)
        axes.stairs(*step, color=colors[name], lw=1.8, label=name)
    axes.set_xlim(*limits)
    axes.margins(y=0.08)
    axes.locator_params(axis="y", nbins=4)
    axes.locator_params(axis="x", nbins=6)
    style.style_axes(axes, label, "density")


def panel_grid(count: int, columns: int, width: float, height: float) -> tuple:
    """Make `(figure, axes of each of count panels)`; sizes in inches, of a panel."""
    rows = math.ceil(count / columns)
    figure = layout.new_figure(width * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.remove()
    return figure, grid[:count]


def title_panel(axes: Axes, flow: str, finding: str = "") -> None:
    """Write the name of a flow in bold and, below it, what its panel shows."""
    grid = axes.get_gridspec()
    assert grid is not None
    figure: Any = axes.figure  # a whole one
    width = figure.get_figwidth() / grid.ncols - 0.8  # less the y axis
    lines = layout.wrap(figure, finding, width, style.LABEL)
    count = lines.count("\n") + 1 if lines else 0
    pad = 5 + count * style.LINE * style.LABEL
    style.title(axes, flow, fontweight="bold", loc="left", pad=pad)
    look = {"fontsize": style.LABEL, "linespacing": style.LINE}
    style.annotate(axes, lines, (0, 1), (0, 5), **look)


def frame(figure: Figure, title, colors: Mapping, id_name: str, outside: str) -> Figure:
    """Add title, a key of the sets' colours, and what lies `outside` the axes."""
    from matplotlib.patches import Patch

    key = [
        Patch(fc=(color, 0.38), ec=color, lw=1.8, label=style.set_label(name, id_name))
        for name, color in colors.items()
    ]
    return layout.frame(figure, title, key=key, caption=f"Outside the axes: {outside}")


def count_outside(values: Mapping, limits: Mapping[str, Limits]) -> str:
    """Say how many images the axes leave out, by flow and set."""
    flows = []
    for flow, sets in values.items():
        hidden = []
        for name, v in sets.items():
            if count := style.outside(v, limits[flow]):
                nans = int(np.isnan(v).sum())
                note = f" ({nans:,} not a number)" if nans else ""
                hidden.append(f"{count:,} of {v.size:,} {name}{note}")
        if hidden:
            flows.append(f"{flow} {', '.join(hidden)}")
    return "; ".join(flows) or "none"


class FarAxis(NamedTuple):
    """`u = asinh((v - center) / width)`: linear within `width`, logarithmic beyond."""

    center: float
    width: float

    def to(self, values: np.ndarray | float) -> Any:
        """Map values to positions on the axis."""
        return np.arcsinh((values - self.center) / self.width)

    def back(self, at: np.ndarray) -> np.ndarray:
        """Map positions on the axis to values."""
        return self.center + self.width * np.sinh(at)

    def label(self, axes: Axes) -> None:
        """Tick the x axis, drawn in u, with as many round numbers as fit."""
        ends = np.array(axes.get_xlim())
        least, ends = np.ptp(ends) / TICKS, self.back(ends)
        chosen: list[float] = []
        for digits in DIGITS:
            for value in _numbers(digits, *ends):
                at = self.to(value)
                if all(abs(at - self.to(other)) >= least for other in chosen):
                    chosen.append(value)
            if len(chosen) >= ENOUGH:
                break
        ticks = sorted(chosen)
        axes.set_xticks(self.to(np.array(ticks)), map(style.short_number, ticks))


def far_axis(reference: np.ndarray, groups: Iterable[np.ndarray]) -> FarAxis | None:
    """Choose an axis that shows `reference` among `groups`; None if a linear one does.

    All are vectors `[N]`; what is not finite is left out.
    """
    low, high = style.robust_limits([reference])
    whole_low, whole_high = style.robust_limits(list(groups))
    if high - low >= LEAST_SHARE * (whole_high - whole_low):
        return None
    finite = reference[np.isfinite(reference)]
    return FarAxis(float(np.median(finite)), (high - low) / 2)


def _numbers(digits: Iterable[int], low: float, high: float) -> Iterable[float]:
    """Yield `digits` times powers of ten in [low, high], the largest powers first."""
    largest = max(abs(low), abs(high), 1.0)
    for power in range(math.ceil(math.log10(largest)), -3, -1):
        for digit in digits:
            value = digit * 10.0**power
            yield from (v for v in {-value, value} if low <= v <= high)

"""Volumes from their views, and a stream whose optics change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style
from flowjax_ood.figures.panels import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches of an image, of a line of wealth
TILE, WEALTH = 0.62, 3.5
# white pixels between images of a volume
GAP = 2


def light_field_panels(
    shown: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    wealth: Mapping[str, Sequence[float]],
    again: Mapping[str, Sequence[float]],
    *,
    change: int,
    alarm: float,
    id_name: str,
    title: str = "Volumes from their views, and a stream whose optics change",
) -> Figure:
    """Draw views, volumes and reconstructions of sets, above the wealth of monitors.

    Args:
        shown: `{set: (views [H, W, K], volume [H, W, D], reconstruction [H, W, D])}`,
            from the top; intensities of about 0 to 1, darker is 0.
        wealth: `{score: log10 wealth of each step}` of the stream; up to 4.
        again: `{flow: log10 wealth of each step}` of monitors that start anew after the
            change; up to 4.
        change: the last step before the change.
        alarm: the wealth that rings.
        id_name: the in-distribution set.
        title: above everything.
    """
    if not shown or not wealth or not again:
        raise ValueError("nothing to draw: no sets, or no wealth")
    colors = style.set_colors(id_name, [n for n in shown if n != id_name])
    kinds = ("views", "volume", "reconstruction")
    first = next(iter(shown.values()))
    widths = [part.shape[-1] for part in first]
    figure = layout.new_figure(11.0, TILE * len(shown) + 0.5 + WEALTH)
    heights = [TILE * len(shown) + 0.5, WEALTH]
    halves: Any = figure.subfigures(2, 1, height_ratios=heights)
    above, below = halves
    grid = above.subplots(len(shown), 3, squeeze=False, width_ratios=widths)
    for axes, kind in zip(grid[0], kinds, strict=True):
        style.title(axes, kind)
    for row, (name, parts) in zip(grid, shown.items(), strict=True):
        for axes, part in zip(row, parts, strict=True):
            show(axes, side_by_side(part), cmap="gray", vmin=0, vmax=1)
        label = {"rotation": 0, "ha": "right", "va": "center", "labelpad": 8}
        color = colors[name]
        row[0].set_ylabel(name, fontsize=style.SMALL, color=color, **label)
    left, right = below.subplots(1, 2)
    _wealth(left, wealth, alarm)
    left.axvline(change, color=style.MUTED, lw=1, linestyle=(0, (3, 2)))
    style.title(left, "The optics change at the dashed line")
    _wealth(right, again, alarm)
    style.title(right, "New optics, monitors that start anew")
    caption = (
        "Planes and views side by side, white 1. Wealth: of bets against no "
        f"change; without one, it reaches {alarm:g} (line) in at most one stream of "
        f"{alarm:g}. "
        "Calibration is of the old optics unless a name says otherwise."
    )
    return layout.frame(figure, title, caption=caption)


def side_by_side(part: np.ndarray) -> np.ndarray:
    """Planes `[H, W, D]` beside each other: `[H, D W + gaps]`, cut off to 0 ... 1."""
    height, _, count = part.shape
    gap = np.ones((height, GAP))
    planes = [np.clip(part[..., d], 0, 1) for d in range(count)]
    pieces = [p for plane in planes for p in (plane, gap)]
    return np.concatenate(pieces[:-1], axis=1)


def _wealth(axes: Axes, curves: Mapping[str, Sequence[float]], alarm: float) -> None:
    for number, (name, values) in enumerate(curves.items()):
        steps = np.arange(1, len(values) + 1)
        axes.plot(steps, values, lw=2, label=name, **style.flow_style(number))
    axes.axhline(np.log10(alarm), color=style.INK, lw=1)
    low, high = axes.get_ylim()
    low, high = max(low, -6), min(max(high, np.log10(alarm) + 0.5), 20)
    axes.set_ylim(low, high)
    ticks = np.arange(np.ceil(low), high, max(1, (high - low) // 6))
    axes.set_yticks(ticks, [f"1e{t:.0f}" if t else "1" for t in ticks])
    style.style_axes(axes, "frame", "wealth", grid="y")
    # below: wealth goes anywhere within
    axes.legend(
        fontsize=style.SMALL,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(0, -0.2),
        ncols=2,
    )

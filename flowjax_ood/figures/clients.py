"""Clients that learn together: what their rows notice, and what a row gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS: dict[str, Any] = {"s": 30, "alpha": 0.6, "lw": 0, "zorder": 3}
# of differences: all clients of all seeds
SMALL: dict[str, Any] = {"s": 16, "alpha": 0.6, "lw": 0, "zorder": 2}


def client_panels(
    areas: Mapping[str, Mapping[str, Sequence[float]]],
    differences: Mapping[str, Mapping],
    accuracies: Mapping[str, Sequence[float]],
    *,
    base: str,
    of: str,
    score: str = "MSP",
    title: str = "Clients with a few classes each",
) -> Figure:
    """Draw AUROC, paired differences to the row `base`, and accuracy, row by row.

    Args:
        areas: `{row: {set: AUROC of each seed}}`, drawn from the top.
        differences: `{row: {"by_client": [seeds][clients], "mean", "low", "high"}}` of
            AUROC against the set `of`; ends may be None. The row `base` is left out.
        accuracies: `{row: accuracy of each seed}`; rows may be missing.
        base: the row that others are compared with.
        of: the set of the differences.
        score: what AUROC is of.
        title: above everything.
    """
    if not areas:
        raise ValueError("no row to draw")
    names = list(areas)
    # no set is in-distribution for all clients
    colors = style.set_colors("", areas[names[0]])
    del colors[""]
    figure = layout.new_figure(12.0, 0.9 + 0.46 * len(names))
    grid = figure.add_gridspec(1, 3, width_ratios=(1.35, 1.2, 0.7))
    left = figure.add_subplot(grid[0])
    middle, right = (figure.add_subplot(grid[i], sharey=left) for i in (1, 2))
    for y, (name, sets) in enumerate(areas.items()):
        for set_name, values in sets.items():
            _seeds(left, values, y, colors[set_name])
        if name != base and name in differences:
            _difference(middle, differences[name], y)
        if name in accuracies:
            _seeds(right, accuracies[name], y, style.ID_COLOR)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.4, -0.6)
    for axes in (middle, right):
        axes.tick_params(axis="y", labelleft=False, length=0)
    right.locator_params(axis="x", nbins=4)
    left.axvline(0.5, color=style.MUTED, lw=1, zorder=0)
    middle.axvline(0, color=style.MUTED, lw=1, zorder=0)
    style.style_axes(left, f"AUROC by {score}", grid="x")
    style.style_axes(middle, f"AUROC less that of {base}", grid="x")
    style.style_axes(right, "accuracy", grid="x")
    style.title(left, "Outliers, by set")
    style.title(middle, f"Paired difference, {of}")
    style.title(right, "Own classes")
    return layout.frame(
        figure,
        title,
        key=layout.line_key({n: {"color": c, "lw": 3} for n, c in colors.items()}),
        caption="Left and right: a dot is a seed, the mean over its clients; bars are "
        "means. Middle: a small dot is a client of a seed; the diamond is the mean, "
        "its line the 95 % interval over seeds. Line at 0.5: chance.",
    )


def _seeds(axes: Axes, values: Sequence[float], y: int, color: str) -> None:
    at = np.asarray(values, float)
    axes.scatter(at, [y] * len(at), color=color, **DOTS)
    axes.plot([at.mean()] * 2, [y - 0.28, y + 0.28], color=color, lw=2.4)


def _difference(axes: Axes, found: Mapping, y: int) -> None:
    every = np.ravel(found["by_client"])
    spread = 0.11 * (np.arange(len(every)) % 3 - 1)
    axes.scatter(every, y + spread, color=style.FLOW_COLORS[2], **SMALL)
    if found["low"] is not None:
        ends = [found["low"], found["high"]]
        axes.plot(ends, [y, y], color=style.INK, lw=2.2, zorder=4)
    look: dict[str, Any] = {"marker": "D", "ms": 6.5, "color": style.INK, "zorder": 5}
    axes.plot([found["mean"]], [y], lw=0, **look)

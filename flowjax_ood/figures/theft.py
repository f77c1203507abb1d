"""Copies of classifiers, and their members as detectors: clones, AUROC, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style
from flowjax_ood.figures.severities import LOOKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOT: dict[str, Any] = {"s": 34, "lw": 0, "alpha": 0.75, "zorder": 3, "clip_on": False}


def theft_panels(
    clones: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    areas: Mapping[str, Mapping[str, float | None]],
    coherence: Mapping[str, Mapping[str, float | None]],
    *,
    id_name: str,
    title: str = "Copies of a classifier by its answers",
) -> Figure:
    """Draw the accuracy of clones, AUROC of disagreement, and agreement by set.

    Args:
        clones: `{attack: (accuracy of the target, of its clone)}`, one value a seed,
            rows from the top.
        areas: `{detector: {OOD set: AUROC}}`, None where it is not scored; up to 8.
        coherence: `{members: {set: mean coherence}}` of the same sets, None where it is
            not measured; up to 8.
        id_name: the in-distribution set, of `coherence`.
        title: above everything.
    """
    if not clones or not areas or not coherence:
        raise ValueError("nothing to draw: no clones, no detectors or no members")
    for what, rows in (("detectors", areas), ("members", coherence)):
        if len(rows) > len(LOOKS):
            raise ValueError(
                f"{len(rows)} {what} in one figure, but only {len(LOOKS)} can be told "
                f"apart: draw {', '.join(rows)} in several figures"
            )
    sets = list(next(iter(areas.values())))
    bars = len(sets) + len(next(iter(coherence.values())))
    tall = max(0.33 * len(clones), 0.36 * bars / 2)
    figure = layout.new_figure(12.0, 1.2 + tall + 0.22 * (len(areas) + len(coherence)))
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1))
    _clones(figure.add_subplot(grid[:, 0]), clones)
    _by_set(figure.add_subplot(grid[0, 1]), areas, "Outliers told apart", "AUROC", 0.5)
    lower = figure.add_subplot(grid[1, 1])
    _by_set(lower, coherence, "How far members agree", "mean coherence", None)
    lower.get_yticklabels()[list(next(iter(coherence.values()))).index(id_name)].set(
        color=style.ID_COLOR
    )
    caption = (
        "Left: a dot is a seed, the line the mean accuracy of what is copied. Right: "
        "means over seeds. Coherence is the largest cosine of two members' "
        "probabilities: 1 where all agree."
    )
    return layout.frame(figure, title, caption=caption)


def _clones(axes: Axes, rows: Mapping) -> None:
    for y, (targets, clones) in enumerate(rows.values()):
        target = 100 * float(np.mean(targets))
        axes.plot([target] * 2, [y - 0.35, y + 0.35], color=style.INK, lw=1.6)
        found = 100 * np.asarray(clones, float)
        axes.scatter(found, np.full(len(found), y), color=style.OOD_COLORS[0], **DOT)
    for y in range(1, len(rows)):
        axes.axhline(y - 0.5, color=style.GRID, lw=0.8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    style.title(axes, "How good the clone gets")
    style.style_axes(axes, "accuracy on test images, %", grid="x")


def _by_set(axes: Axes, rows: Mapping, title: str, label: str, line) -> None:
    """Values of every row by set, the sets from the top."""
    sets = list(next(iter(rows.values())))
    spread = np.linspace(-0.24, 0.24, len(rows)) if len(rows) > 1 else [0.0]
    for offset, (name, of), (color, marker) in zip(spread, rows.items(), LOOKS):
        known = [(of[s], y) for y, s in enumerate(sets) if of.get(s) is not None]
        x, y = np.array(known, float).reshape(-1, 2).T
        look = {"color": color, "marker": marker, "label": name}
        axes.scatter(x, y + offset, **look, **DOT)
    for row in range(1, len(sets)):
        axes.axhline(row - 0.5, color=style.GRID, lw=0.8)
    if line is not None:
        axes.axvline(line, color=style.INK, lw=1, linestyle=(0, (3, 2)))
    axes.set_yticks(range(len(sets)), sets)
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    text: dict[str, Any] = {
        "fontsize": style.SMALL,
        "frameon": False,
        "borderaxespad": 0,
    }
    at: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)}
    axes.legend(**text, **at, handletextpad=0.2)
    style.title(axes, title)
    style.style_axes(axes, label, grid="x")

"""A monitor of scenes: what it saw, how well, and by which of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# dark and teal: sets have all other colours
LAYERS = {1: style.FLOW_COLORS[0], 2: style.FLOW_COLORS[1]}
WORDS = {1: "layer 1: the item", 2: "layer 2: its context"}
DOT: dict[str, Any] = {"s": 40, "lw": 0, "zorder": 3, "clip_on": False}


def monitor_panels(
    scenes: Mapping[str, tuple],
    areas: Mapping[str, Mapping[str, float]],
    alarms: Mapping[str, tuple[float, float]],
    differences: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    alpha: float,
    usual: str,
    title: str = "A monitor in two layers: the item, and its context",
) -> Figure:
    """Draw scenes, AUROC by row, alarms by layer, and differences of AUROC.

    Args:
        scenes: `{set: (items [N, H, W, C] uint8, p_first [N], p_second [N], layer
            [N])}`, a line each; layer 0 is no alarm.
        areas: `{row: {set: AUROC}}`, from the top.
        alarms: `{set: (share by layer 1, share by layer 2)}`, `usual` among them.
        differences: `{row: {set: (difference, low, high)}}`.
        alpha: the false alarms that are promised at most.
        usual: the in-distribution set.
        title: above everything.

    Raises ValueError where there are no rows, no alarms or no differences.
    """
    if not areas or not alarms or not differences:
        raise ValueError("nothing to draw: no rows, no alarms or no differences")
    names = [n for n in alarms if n != usual]
    colors = style.set_colors(usual, names)
    strip = 1.35 * len(scenes)
    height = 0.34 * len(areas) + 0.9
    lower = max(2.6, 0.4 * len(alarms) + 1.2)
    figure = layout.new_figure(11.0, strip + height + lower)
    # each line lays itself out: names of rows are longer than those of sets
    parts: Any = figure.subfigures(
        3 if scenes else 2,
        1,
        height_ratios=[*([strip] if scenes else []), height, lower],
    )
    if scenes:
        _scenes(parts[0], scenes)
    _areas(parts[-2].subplots(), areas, colors)
    left, right = parts[-1].subplots(1, 2)
    _alarms(left, alarms, alpha)
    _differences(right, differences, colors)
    key = {n: {"color": colors[n], "lw": 0, "marker": "o", "ms": 7} for n in names} | {
        WORDS[k]: {"color": c, "lw": 6} for k, c in LAYERS.items()
    }
    rings = any(np.any(layer) for *_, layer in scenes.values())
    frames = "an alarm has a frame in the colour of its layer" if rings else "no alarms"
    caption = (
        f"Scenes: {frames}; below, p-values of layers 1 and 2. An alarm is at twice "
        f"the smaller p ≤ {alpha:g} (line). Dots: AUROC, 0.5 is chance (line). "
        f"Differences: with 95 % intervals of the items; at the line, the part adds "
        f"nothing."
    )
    return layout.frame(figure, title, key=layout.line_key(key), caption=caption)


def _scenes(part, scenes: Mapping) -> None:
    most = max(len(items) for items, *_ in scenes.values())
    grid = part.subplots(len(scenes), most, squeeze=False)
    for axes, (name, (items, first, second, layer)) in zip(grid, scenes.items()):
        for number, cell in enumerate(axes):
            cell.set_xticks([])
            cell.set_yticks([])
            if number >= len(items):
                cell.set_axis_off()
                continue
            image = np.asarray(items[number])
            cell.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            ringing = int(layer[number])
            for spine in cell.spines.values():
                spine.set_color(LAYERS.get(ringing, style.GRID))
                spine.set_linewidth(4 if ringing else 1)
            text = f"p {_p(first[number])}, {_p(second[number])}"
            cell.set_xlabel(text, fontsize=style.SMALL, color=style.INK)
        label = {"rotation": 0, "ha": "right", "va": "center"}
        axes[0].set_ylabel(name, fontsize=style.LABEL, color=style.INK, **label)


def _p(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _areas(axes: Axes, areas: Mapping, colors: Mapping) -> None:
    for y, of in enumerate(areas.values()):
        for name, value in of.items():
            axes.scatter(value, y, color=colors[name], **DOT)
        if y:
            axes.axhline(y - 0.5, color=style.GRID, lw=0.8)
    axes.axvline(0.5, color=style.INK, lw=1.2, zorder=1)
    axes.set_yticks(range(len(areas)), list(areas))
    axes.set_ylim(len(areas) - 0.5, -0.5)
    axes.set_xlim(min(0.4, *(v for of in areas.values() for v in of.values())), 1)
    style.title(axes, "What each row sees")
    style.style_axes(axes, "AUROC", grid="x")


def _alarms(axes: Axes, alarms: Mapping, alpha: float) -> None:
    for y, (first, second) in enumerate(alarms.values()):
        axes.barh(y, 100 * first, 0.62, color=LAYERS[1], zorder=2)
        axes.barh(y, 100 * second, 0.62, 100 * first, color=LAYERS[2], zorder=2)
    axes.axvline(100 * alpha, color=style.INK, lw=1.2, zorder=3)
    axes.set_yticks(range(len(alarms)), list(alarms))
    axes.set_ylim(len(alarms) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    style.title(axes, "Alarms, and what is promised of clothing")
    style.style_axes(axes, "items with an alarm, %", grid="x")


def _differences(axes: Axes, differences: Mapping, colors: Mapping) -> None:
    sets = list(dict.fromkeys(n for of in differences.values() for n in of))
    offsets = np.linspace(-0.3, 0.3, len(sets)) if len(sets) > 1 else np.zeros(1)
    for y, of in enumerate(differences.values()):
        for offset, name in zip(offsets, sets):
            if name in of:
                value, low, high = of[name]
                at = [y + offset] * 2
                axes.plot([low, high], at, color=colors[name], lw=1.6, zorder=2)
                axes.scatter(value, y + offset, color=colors[name], **DOT)
        if y:
            axes.axhline(y - 0.5, color=style.GRID, lw=0.8)
    axes.axvline(0, color=style.INK, lw=1.2, zorder=1)
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set_ylim(len(differences) - 0.5, -0.5)
    style.title(axes, "Joint density less ...")
    style.style_axes(axes, "difference of AUROC", grid="x")

"""Predictions of couplings against their depth, in- and out-of-distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# measure: (label of its axis, lowest value that is drawn)
MEASURES = {
    "correlation": ("correlation of −t\nwith hidden values", -1.0),
    "r2": ("R² of −t", -1.0),
    "mean_s": ("mean s\n(nats/dimension)", -np.inf),
    "logdet": ("log-determinant\n(nats/image)", -np.inf),
}


def depth_profiles(
    layers: Mapping[str, Sequence[Mapping[str, float | None]]],
    *,
    id_name: str,
    groups: Sequence[str] | None = None,
    title: str = "What each coupling predicts, and what it adds to log p(x)",
) -> Figure:
    """Draw a panel a measure and a line a set, couplings from left to right.

    R² has no lower bound: values below -1 are drawn as a triangle at the edge.

    Args:
        layers: `{set: measures of each coupling}`, the first coupling first, with the
            names of `MEASURES`; None, or NaN, where a measure is undefined.
        id_name: The set the flow was trained on.
        groups: For each coupling, what it belongs to (such as its resolution and mask):
            a line parts couplings of different groups, whose names stand above.
        title: Above everything.
    """
    if id_name not in layers:
        raise ValueError(f"no in-distribution set {id_name!r} in {sorted(layers)}")
    depth = len(layers[id_name])
    for name, measured in layers.items():
        if len(measured) != depth or not depth:
            raise ValueError(f"{name!r} has {len(measured)} couplings, not {depth}")
    if groups is not None and len(groups) != depth:
        raise ValueError(f"{len(groups)} groups for {depth} couplings")
    colors = style.set_colors(id_name, layers)

    figure = layout.new_figure(max(7.5, min(2.5 + 0.45 * depth, 13.0)), 8.2)
    panels = figure.subplots(len(MEASURES), 1, sharex=True)
    at = np.arange(1, depth + 1)
    for axes, (measure, (label, floor)) in zip(panels, MEASURES.items()):
        # the ID set last: it is the reference
        for name in sorted(layers, key=lambda name: name == id_name):
            values = np.array(
                [np.nan if m[measure] is None else m[measure] for m in layers[name]]
            )
            _line(axes, at, values, floor, colors[name], name)
        axes.axhline(0, color=style.MUTED, lw=1)
        style.style_axes(axes, "", label)
        axes.grid(axis="y", color=style.GRID, lw=0.8)
        axes.locator_params(axis="y", nbins=5)
        if groups is not None:
            for k in range(1, depth):
                if groups[k] != groups[k - 1]:
                    axes.axvline(k + 0.5, color=style.MUTED, lw=1, ls=(0, (2, 2)))
    if groups is not None:
        _name_groups(panels[0], groups)
    panels[-1].set_xlabel("coupling", fontsize=style.LABEL, color=style.INK)
    panels[-1].set_xlim(0.5, depth + 0.5)
    step = -(-depth // 16)
    panels[-1].set_xticks(at[::step])
    figure.align_ylabels(panels)
    looks = {
        style.set_label(name, id_name): {"color": color, "marker": "o", "lw": 1.8}
        for name, color in colors.items()
    }
    return layout.frame(figure, title, key=layout.line_key(looks))


def _line(axes: Axes, at, values, floor: float, color: str, name: str) -> None:
    shown = np.maximum(values, floor)
    look = {"color": color, "lw": 1.8, "ms": 5, "label": name}
    axes.plot(at, shown, marker="o", **look)
    with np.errstate(invalid="ignore"):
        below = values < floor
    axes.plot(at[below], shown[below], ls="", marker="v", color=color, ms=9)


def _name_groups(axes: Axes, groups: Sequence[str]) -> None:
    """Write the name of a group above each run of its couplings."""
    start = 0
    for k in range(1, len(groups) + 1):
        if k == len(groups) or groups[k] != groups[start]:
            axes.annotate(
                groups[start],
                ((start + 1 + k) / 2, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=style.SMALL,
                color=style.MUTED,
            )
            start = k

"""Predictions of couplings against their depth, in- and out-of-distribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
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
    # runs of couplings of one group: (index of the first one, name)
    owners = groups or ()
    starts = [
        (k, name) for k, name in enumerate(owners) if k == 0 or name != owners[k - 1]
    ]

    figure = layout.new_figure(max(7.5, min(2.5 + 0.45 * depth, 13.0)), 8.2)
    panels = figure.subplots(len(MEASURES), 1, sharex=True)
    at = np.arange(1, depth + 1)
    for axes, (measure, (label, floor)) in zip(panels, MEASURES.items()):
        # the ID set last: it is the reference
        for name in sorted(layers, key=lambda name: name == id_name):
            values = np.array([m[measure] for m in layers[name]], float)  # None is NaN
            shown, below = np.maximum(values, floor), values < floor
            look = {"color": colors[name], "label": name}
            axes.plot(at, shown, marker="o", lw=1.8, ms=5, **look)
            axes.plot(at[below], shown[below], ls="", marker="v", ms=9, **look)
        axes.axhline(0, color=style.MUTED, lw=1)
        style.style_axes(axes, "", label, grid="y")
        axes.locator_params(axis="y", nbins=5)
        for start, _ in starts[1:]:
            axes.axvline(start + 0.5, color=style.MUTED, lw=1, ls=(0, (2, 2)))
    for (start, name), (end, _) in pairwise([*starts, (depth, "")]):
        style.annotate(
            panels[0],
            name,
            ((start + 1 + end) / 2, 1),
            (0, 4),
            ("data", "axes fraction"),
            ha="center",
            color=style.MUTED,
        )
    panels[-1].set_xlabel("coupling", fontsize=style.LABEL, color=style.INK)
    panels[-1].set_xlim(0.5, depth + 0.5)
    panels[-1].set_xticks(at[:: -(-depth // 16)])
    figure.align_ylabels(panels)
    looks = {
        style.set_label(name, id_name): {"color": color, "marker": "o", "lw": 1.8}
        for name, color in colors.items()
    }
    return layout.frame(figure, title, key=layout.line_key(looks))

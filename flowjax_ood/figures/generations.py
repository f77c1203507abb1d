"""Flows of several kinds: whether a better density is a better detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THIN: dict[str, Any] = {
    "color": style.MUTED,
    "lw": 0.8,
    "alpha": 0.6,
    "marker": "o",
    "ms": 2.5,
}


def flow_generations(
    likelihood: Mapping[str, tuple[float, Mapping[str, float]]],
    means: Mapping[str, Mapping[str, float]],
    *,
    marked: str = "digits",
    block: str = "kept back",
    title: str = "A better density, and what it detects",
) -> Figure:
    """Draw AUROC of log p(x) against bits/dim, a line a kind; and means of scores.

    Args:
        likelihood: `{flow: (bits/dim, {kind of outlier: AUROC of log p(x)})}`.
        means: `{score: {flow: mean AUROC}}`, drawn from the top; flows may be missing.
        marked: the kind that is drawn in colour.
        block: what `means` are over.
        title: above everything.

    Raises ValueError without a flow.
    """
    if not likelihood:
        raise ValueError("no flow to draw")
    order = sorted(likelihood, key=lambda name: likelihood[name][0])
    bits = [likelihood[name][0] for name in order]
    figure = layout.new_figure(12.0, 1.2 + 0.42 * max(len(means), 7))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    for kind in likelihood[order[0]][1]:
        look = THIN
        if kind == marked:
            look = THIN | {"color": style.OOD_COLORS[0], "lw": 2.4, "ms": 6, "alpha": 1}
        areas = [likelihood[name][1].get(kind, float("nan")) for name in order]
        left.plot(bits, areas, zorder=3 if kind == marked else 2, **look)
    left.axhline(0.5, color=style.MUTED, lw=1, zorder=0)
    left.set_ylim(-0.02, 1.02)
    _name_flows(left, order, bits)
    style.style_axes(left, "bits/dim (fewer = better density)", "AUROC", grid="y")
    style.title(left, "log p(x), a line for each kind of outlier", pad=26)
    looks = dict(zip(order, _marks(len(order)), strict=True))
    for y, by_flow in enumerate(means.values()):
        for name, area in by_flow.items():
            right.scatter([area], [y], s=42, alpha=0.85, **looks[name])
    right.set_yticks(range(len(means)), list(means))
    right.set_ylim(len(means) - 0.4, -0.6)
    right.axvline(0.5, color=style.MUTED, lw=1, zorder=0)
    style.style_axes(right, f"mean AUROC, kinds {block}", grid="both")
    style.title(right, "Every score, a mark for each flow", pad=26)
    return layout.frame(
        figure,
        title,
        key=_key(looks, marked),
        caption="Left: flows in the order of their densities. Below the line at 0.5, "
        "outliers are likelier than what the flow was trained on.",
    )


def _name_flows(axes, order, bits) -> None:
    """Names above the panel, of flows that are not too near each other."""
    low, high = min(bits), max(bits)
    room, last = 0.06 * (high - low), None
    for name, at in zip(order, bits, strict=True):
        axes.axvline(at, color=style.GRID, lw=0.8, zorder=0)
        if last is not None and at - last < room:
            continue
        last = at
        style.annotate(
            *(axes, name, (at, 1.02), (0, 2)),
            coords=("data", "axes fraction"),
            rotation=35,
            ha="left",
            va="bottom",
        )


def _marks(count: int) -> list[dict]:
    """A colour and a marker for each of so many flows."""
    colors = (style.ID_COLOR, *style.OOD_COLORS, *style.FLOW_COLORS[1:])
    markers = "osD^vP*X<>"
    return [
        {"color": colors[i % len(colors)], "marker": markers[i % len(markers)]}
        for i in range(count)
    ]


def _key(looks: Mapping[str, dict], marked: str):
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], lw=0, ms=7, label=name, **of) for name, of in looks.items()]
    line: dict[str, Any] = {
        "color": style.OOD_COLORS[0],
        "lw": 2.4,
        "marker": "o",
        "ms": 6,
    }
    return [*lines, Line2D([], [], label=f"{marked}, left", **line)]

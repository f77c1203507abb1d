"""Flows of several kinds: whether a better density is a better detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THIN: dict[str, Any] = {"color": style.MUTED, "lw": 0.8, "alpha": 0.5}
THICK: dict[str, Any] = {"color": style.OOD_COLORS[0], "lw": 2.4}


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
    looks = dict(zip(order, _marks(len(order)), strict=True))
    figure = layout.new_figure(12.0, 1.2 + 0.42 * max(len(means), 7))
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    for kind in likelihood[order[0]][1]:
        areas = [likelihood[name][1].get(kind, float("nan")) for name in order]
        left.plot(bits, areas, **(THICK if kind == marked else THIN))
        if kind == marked:
            for at, area, name in zip(bits, areas, order, strict=True):
                left.scatter([at], [area], s=60, zorder=4, **looks[name])
    left.axhline(0.5, color=style.MUTED, lw=1, zorder=0)
    left.set_ylim(-0.02, 1.02)
    style.style_axes(left, "bits/dim (fewer = better density)", "AUROC", grid="y")
    style.title(left, "log p(x), a line for each kind of outlier")
    for y, by_flow in enumerate(means.values()):
        for name, area in by_flow.items():
            right.scatter([area], [y], s=42, alpha=0.85, **looks[name])
    right.set_yticks(range(len(means)), list(means))
    right.set_ylim(len(means) - 0.4, -0.6)
    right.axvline(0.5, color=style.MUTED, lw=1, zorder=0)
    style.style_axes(right, f"mean AUROC, kinds {block}", grid="both")
    style.title(right, "Every score, a mark for each flow")
    return layout.frame(
        figure,
        title,
        key=_key(looks, marked),
        caption="Left: flows in the order of their densities. Below the line at 0.5, "
        "outliers are likelier than what the flow was trained on.",
    )


def _marks(count: int) -> list[dict[str, Any]]:
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
    return [*lines, Line2D([], [], label=f"{marked}, on the left", **THICK)]

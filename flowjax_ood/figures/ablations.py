"""Ablations: every row of a grid, and curves against the width of the bottleneck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# {measure: {set: one value a seed}}, with measures "auroc" and "bits_per_dim"
Row = Mapping[str, Mapping[str, Sequence[float]]]
DOTS: dict[str, Any] = {"s": 34, "alpha": 0.55, "lw": 0}


def ablation_rows(
    rows: Mapping[str, Row], *, id_name: str, title: str = "Every row, every seed"
) -> Figure:
    """Draw AUROC (left) and bits/dim (right) of every row: a dot a seed, a bar a mean.

    Args:
        rows: `{name: {"auroc": {OOD set: [...]}, "bits_per_dim": {set: [...]}}}`, drawn
            from the top in the order given; a bits/dim of None (not finite) is left
            out.
        id_name: The in-distribution set.
        title: Above everything.
    """
    if not rows:
        raise ValueError("no row to draw")
    names = list(rows)
    colors = style.set_colors(id_name, _ood_names(rows.values()))
    figure = layout.new_figure(10.5, 0.9 + 0.42 * len(names))
    areas, bits = figure.subplots(1, 2, sharey=True)
    for axes, measure in ((areas, "auroc"), (bits, "bits_per_dim")):
        for y, row in enumerate(rows.values()):
            for name, seeds in row[measure].items():
                values, color = _finite(seeds), colors[name]
                if values.size:
                    axes.scatter(values, [y] * len(values), color=color, **DOTS)
                    mean, ends = values.mean(), [y - 0.28, y + 0.28]
                    axes.plot([mean, mean], ends, color=color, lw=2.4)
    style.style_axes(areas, "AUROC by likelihood", grid="x")
    style.style_axes(bits, "bits/dim (fewer = more likely)", grid="x")
    areas.set_yticks(range(len(names)), names)
    areas.set_ylim(len(names) - 0.4, -0.6)
    areas.set_xlim(-0.02, 1.02)
    areas.axvline(0.5, color=style.MUTED, lw=1, zorder=0)
    return layout.frame(
        figure,
        title,
        key=layout.line_key({n: {"color": c, "lw": 3} for n, c in colors.items()}),
        caption="Dots: seeds. Bars: their mean. Line at 0.5: chance; left of it, the "
        "flow finds OOD images more likely.",
    )


def bottleneck_curves(
    series: Mapping[str, Mapping[int | None, Row]],
    *,
    id_name: str,
    title: str = "A narrower bottleneck, and what it costs",
) -> Figure:
    """Draw AUROC of each OOD set and bits/dim of the ID set against bottleneck width.

    Args:
        series: `{name: {width: row}}`, rows as in `ablation_rows`; width None is no
            bottleneck at all, drawn to the right of the others.
        id_name: The in-distribution set.
        title: Above everything.
    """
    if not series or not all(series.values()):
        raise ValueError("no bottleneck to draw: no series, or one without rows")
    rows = [row for widths in series.values() for row in widths.values()]
    ood_names = _ood_names(rows)
    panels = len(ood_names) + 1
    figure = layout.new_figure(4.6 * panels + 0.6, 4.2)
    all_axes = figure.subplots(1, panels, squeeze=False)[0]
    widths = sorted({w for s in series.values() for w in s if w is not None})
    # equally far apart as on a logarithmic axis; "none" one step further
    step = np.log(widths[-1] / widths[0]) / max(1, len(widths) - 1) or 1.0
    at = {w: np.log(w) for w in widths} | {None: np.log(widths[-1]) + 1.2 * step}
    shown = [*widths, None] if any(None in s for s in series.values()) else widths
    looks = {name: style.flow_style(i) for i, name in enumerate(series)}
    for axes, name in zip(all_axes, [*ood_names, id_name]):
        measure = "bits_per_dim" if name == id_name else "auroc"
        for label, by_width in series.items():
            curve = {w: _finite(row[measure][name]) for w, row in by_width.items()}
            _curve(axes, curve, at, looks[label])
        label = f"bits/dim, {name}"
        if measure == "auroc":
            label = f"AUROC, {id_name} against {name}"
            axes.axhline(0.5, color=style.MUTED, lw=1, zorder=0)
            axes.set_ylim(-0.02, 1.02)
        style.style_axes(axes, "numbers in the bottleneck", label, grid="y")
        axes.set_xticks(
            [at[w] for w in shown], ["none" if w is None else str(w) for w in shown]
        )
    return layout.frame(
        figure,
        title,
        key=layout.line_key({n: {"lw": 3, **look} for n, look in looks.items()}),
        caption="Dots: seeds; lines: their mean; none: the same flow without a "
        "bottleneck. AUROC below 0.5 (line): OOD images are more likely.",
    )


def _ood_names(rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["auroc"]))


def _finite(values: Sequence[float | None]) -> np.ndarray:
    array = np.array(values, float)  # None is NaN
    return array[np.isfinite(array)]


def _curve(axes: Axes, curve: dict, at: dict, look: dict) -> None:
    """Draw dots and a line through their means; only dashes lead to "none"."""
    for width, values in curve.items():
        axes.scatter([at[width]] * len(values), values, color=look["color"], **DOTS)
    widths = sorted(w for w, values in curve.items() if w is not None and values.size)
    means = [curve[w].mean() for w in widths]
    axes.plot([at[w] for w in widths], means, lw=2.2, **look)
    if widths and None in curve and curve[None].size:
        ends = [at[widths[-1]], at[None]]
        heights = [means[-1], curve[None].mean()]
        axes.plot(ends, heights, color=look["color"], lw=1, linestyle=(0, (2, 2)))

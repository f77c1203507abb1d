"""ROC curves of likelihood as a detector, and training curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = 100  # of a long curve, whose medians are drawn


def roc_curves(
    curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, float]]],
    *,
    title: str | None = None,
) -> Figure:
    """Draw ROC curves of likelihood as a detector; the ID set is the positive class.

    Colour shows the OOD set, line style the flow.

    Args:
        curves: `{flow: {OOD set: (fpr [K], tpr [K], auroc)}}`. `fpr` is the fraction of
            OOD images, `tpr` the fraction of ID images at or above a threshold.
        title: By default what is seen: whether curves run below the diagonal.
    """
    if not curves or not all(curves.values()):
        raise ValueError("no ROC curve to draw: a flow without OOD sets, or no flow")
    lines = {
        (flow, name): _checked_roc(flow, name, *curve)
        for flow, sets in curves.items()
        for name, curve in sets.items()
    }
    colors = style.set_colors("", (name for _, name in lines))
    styles = {flow: style.flow_style(i)["linestyle"] for i, flow in enumerate(curves)}

    entries = {
        (flow, name): f"{flow}, {name}: {curve[2]:.3f}"
        for (flow, name), curve in lines.items()
    }
    figure = layout.new_figure(5.4, 5.2)
    widest = max(layout.text_width(figure, e, style.LABEL) for e in entries.values())
    figure.set_figwidth(5.4 + widest + 1.4)  # a square, and the key next to it
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=style.MUTED, lw=1)
    axes.annotate(
        "chance",
        (0.5, 0.5),
        xytext=(0, 3),
        textcoords="offset points",
        rotation=45,
        rotation_mode="anchor",
        ha="center",
        fontsize=style.SMALL,
        color=style.MUTED,
    )
    for (flow, name), (fpr, tpr, _) in lines.items():
        axes.plot(
            fpr,
            tpr,
            color=colors[name],
            linestyle=styles[flow],
            lw=2.4,
            label=entries[flow, name],
        )
    style.style_axes(
        axes,
        "OOD images accepted (false positive rate)",
        "ID images accepted (true positive rate)",
    )
    axes.set(xlim=(-0.005, 1.005), ylim=(-0.005, 1.005), aspect="equal")
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(color=style.GRID, lw=0.8)
    figure.legend(
        loc="outside right center",
        frameon=False,
        fontsize=style.LABEL,
        title="AUROC",
        title_fontsize=style.LABEL,
        alignment="left",
        handlelength=2.6,
        labelspacing=0.8,
    )
    return layout.frame(figure, title or _roc_finding([c[2] for c in lines.values()]))


def training_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    unit: str = "bits/dim",
    title: str | None = None,
) -> Figure:
    """Draw the training loss of each flow.

    The y axis follows quantiles, since the first steps are far off; a caption says
    how many records lie outside. Of more than 200 records the bold line shows the
    medians of 100 blocks.

    Args:
        curves: `{flow: (images_seen [T], bits_per_dim [T])}`, images seen not falling.
        unit: "bits/dim"; or "nats" for vectors, whose `curves` have negative
            log-likelihoods instead of bits/dim.
        title: By default the measure, and that lower is better.
    """
    if not curves:
        raise ValueError("no training curve to draw")
    measures = {
        "bits/dim": ("bits/dim", "images"),
        "nats": ("negative log-likelihood (nats)", "vectors"),
    }
    if unit not in measures:
        raise ValueError(f"unknown unit {unit!r}; known: {', '.join(measures)}")
    measure, things = measures[unit]
    data = {}
    for flow, (seen, bits) in curves.items():
        seen = style.numbers(seen, f"images_seen of {flow!r}")
        bits = style.numbers(bits, f"bits_per_dim of {flow!r}")
        if seen.shape != bits.shape:
            raise ValueError(
                f"images_seen {seen.shape} and bits_per_dim {bits.shape} of {flow!r} "
                "must have one length"
            )
        if np.any(np.diff(seen) < 0):
            raise ValueError(f"images_seen of {flow!r} falls; sort the records first")
        data[flow] = seen, bits

    figure = layout.new_figure(9.0, 4.6)
    axes = figure.subplots()
    limits = style.robust_limits([bits for _, bits in data.values()], reach=6.0)
    for index, (flow, (seen, bits)) in enumerate(data.items()):
        look = style.flow_style(index)
        line_seen, line_bits = seen, bits
        if bits.size > 2 * BLOCKS:
            axes.plot(seen, bits, color=look["color"], alpha=0.22, lw=0.8)
            line_seen, line_bits = _medians(seen, bits)
        axes.plot(
            line_seen,
            line_bits,
            lw=2.2,
            marker="o" if bits.size <= 30 else None,
            ms=4,
            label=f"{flow}: {line_bits[-1]:.2f} at the end",
            **look,
        )
    axes.set_ylim(*limits)
    axes.set_xlim(0, max(seen[-1] for seen, _ in data.values()) * 1.01 or 1)
    axes.grid(axis="y", color=style.GRID, lw=0.8)
    axes.xaxis.set_major_formatter(style.short_number)
    axes.locator_params(axis="x", nbins=6)
    axes.locator_params(axis="y", nbins=6)
    style.style_axes(axes, f"training {things} seen", measure)
    axes.legend(
        loc="upper right", frameon=False, fontsize=style.LABEL, handlelength=2.6
    )
    hidden = {f: style.outside(bits, limits) for f, (_, bits) in data.items()}
    counts = ", ".join(
        f"{n} of {data[f][1].size:,} records ({f})" for f, n in hidden.items() if n
    )
    measure = measure[0].upper() + measure[1:]
    return layout.frame(
        figure,
        title or f"{measure} during training (lower is better)",
        caption=counts and f"Outside the axes: {counts}.",
    )


def _checked_roc(flow: str, name: str, fpr, tpr, auroc: float) -> tuple:
    fpr = style.numbers(fpr, f"fpr of {name!r} ({flow})")
    tpr = style.numbers(tpr, f"tpr of {name!r} ({flow})")
    if fpr.shape != tpr.shape:
        raise ValueError(
            f"fpr {fpr.shape} and tpr {tpr.shape} of {name!r} ({flow}) must have one "
            "length"
        )
    for what, rate in (("fpr", fpr), ("tpr", tpr), ("auroc", np.asarray(auroc))):
        if not np.all((rate >= 0) & (rate <= 1)):
            raise ValueError(f"{what} of {name!r} ({flow}) must lie in [0, 1]")
    return fpr, tpr, float(auroc)


def _roc_finding(aurocs: list[float]) -> str:
    below = sum(value < 0.5 for value in aurocs)
    if below == len(aurocs):
        return "Below the diagonal: OOD images are more likely than ID images"
    if below:
        return "Some curves run below the diagonal: OOD images more likely than ID"
    return "Above the diagonal: ID images are more likely than OOD images"


def _medians(seen: np.ndarray, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take medians over at most `BLOCKS` blocks of consecutive records.

    A median does not follow the single wild step that a mean would show as a bump.
    """
    blocks = np.array_split(np.arange(bits.size), BLOCKS)
    return (
        np.array([seen[block].mean() for block in blocks]),
        np.array([np.median(bits[block]) for block in blocks]),
    )

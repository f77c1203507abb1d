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
    lines = {}
    for index, (flow, sets) in enumerate(curves.items()):
        dashes = style.flow_style(index)["linestyle"]
        for name, (fpr, tpr, auroc) in sets.items():
            of = f"{name!r} ({flow})"
            rates = _pair(fpr, tpr, ("fpr", "tpr"), of)
            for what, rate in zip(("fpr", "tpr", "auroc"), (*rates, np.array(auroc))):
                if not np.all((rate >= 0) & (rate <= 1)):
                    raise ValueError(f"{what} of {of} must lie in [0, 1]")
            lines[f"{flow}, {name}: {auroc:.3f}"] = name, dashes, rates
    colors = style.set_colors("", (name for name, *_ in lines.values()))
    aurocs = [auroc for sets in curves.values() for *_, auroc in sets.values()]

    figure = layout.new_figure(5.4, 5.2)
    widest = max(layout.text_width(figure, label, style.LABEL) for label in lines)
    figure.set_figwidth(5.4 + widest + 1.4)  # a square, and the key next to it
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=style.MUTED, lw=1)
    look = {"rotation": 45, "rotation_mode": "anchor", "ha": "center"}
    style.annotate(
        axes, "chance", (0.5, 0.5), (0, 3), "data", color=style.MUTED, **look
    )
    for label, (name, dashes, rates) in lines.items():
        axes.plot(*rates, color=colors[name], linestyle=dashes, lw=2.4, label=label)
    style.style_axes(
        axes,
        "OOD images accepted (false positive rate)",
        "ID images accepted (true positive rate)",
        grid="both",
    )
    axes.set(xlim=(-0.005, 1.005), ylim=(-0.005, 1.005), aspect="equal")
    axes.set(xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
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
    return layout.frame(figure, title or _roc_finding(aurocs))


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
    style.check_unit(unit)
    measure, things = "bits/dim", "images"
    if unit == "nats":
        measure, things = "negative log-likelihood (nats)", "vectors"
    data = {}
    for flow, (seen, bits) in curves.items():
        data[flow] = _pair(seen, bits, ("images_seen", "bits_per_dim"), repr(flow))
        if np.any(np.diff(data[flow][0]) < 0):
            raise ValueError(f"images_seen of {flow!r} falls; sort the records first")

    figure = layout.new_figure(9.0, 4.6)
    axes = figure.subplots()
    limits = style.robust_limits([bits for _, bits in data.values()], reach=6.0)
    for index, (flow, (seen, bits)) in enumerate(data.items()):
        look = style.flow_style(index)
        marker = "o" if bits.size <= 30 else None
        if bits.size > 2 * BLOCKS:
            axes.plot(seen, bits, color=look["color"], alpha=0.22, lw=0.8)
            # a median does not follow a single wild step, as a mean would
            blocks = np.array_split(np.arange(bits.size), BLOCKS)
            seen = np.array([seen[block].mean() for block in blocks])
            bits = np.array([np.median(bits[block]) for block in blocks])
        label = f"{flow}: {bits[-1]:.2f} at the end"
        axes.plot(seen, bits, lw=2.2, marker=marker, ms=4, label=label, **look)
    axes.set_ylim(*limits)
    axes.set_xlim(0, max(seen[-1] for seen, _ in data.values()) * 1.01 or 1)
    axes.xaxis.set_major_formatter(style.short_number)
    axes.locator_params(nbins=6)
    style.style_axes(axes, f"training {things} seen", measure, grid="y")
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


def _pair(first, second, names: tuple[str, str], of: str) -> list[np.ndarray]:
    """Turn two sequences into vectors of one length; errors call them `names`."""
    pair = [style.numbers(v, f"{n} of {of}") for v, n in zip((first, second), names)]
    if pair[0].shape != pair[1].shape:
        shapes = " and ".join(f"{n} {v.shape}" for n, v in zip(names, pair))
        raise ValueError(f"{shapes} of {of} must have one length")
    return pair


def _roc_finding(aurocs: list[float]) -> str:
    below = sum(value < 0.5 for value in aurocs)
    if below == len(aurocs):
        return "Below the diagonal: OOD images are more likely than ID images"
    if below:
        return "Some curves run below the diagonal: OOD images more likely than ID"
    return "Above the diagonal: ID images are more likely than OOD images"

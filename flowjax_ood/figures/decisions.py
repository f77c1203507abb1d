"""Decisions by detectors: false alarms against what is promised, and what is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND = "#DCE8F1"  # where a rate is promised to lie
ACCEPTED = "#C9C9C9"
DOT: dict[str, Any] = {"s": 26, "alpha": 0.6, "lw": 0, "zorder": 3}


def decision_panels(
    false_alarms: Mapping[str, tuple[float, Sequence[float], tuple | None]],
    found: Mapping[str, Sequence[tuple[float, float, float]]],
    by_class: Sequence[Sequence[float | None]] = (),
    abstain: Mapping[str, tuple[float, float]] | None = None,
    *,
    id_name: str,
    alpha: float = 0.05,
    allowed: float = 0.02,
    title: str = "What scores are worth as decisions",
) -> Figure:
    """Draw up to four panels; a dot is a detector.

    Args:
        false_alarms: `{how: (promised, rate of every detector, (low, high) or None)}`,
            rows from the top; the band is where one split's rate is promised to lie.
        found: `{OOD set: [(AUROC, power, power of conditional p-values)]}`.
        by_class: false alarms at `alpha` of every detector, `[detectors][classes]`;
            none leaves the panel out.
        abstain: `{set: (accepted, accepted and wrong)}`, from the top; None leaves the
            panel out.
        id_name: the in-distribution set.
        alpha: the false alarms that are promised, of the panel of classes.
        allowed: errors that a classifier which may abstain is allowed.
        title: above everything.
    """
    if not false_alarms or not found:
        raise ValueError("nothing to draw: no false alarms, or no OOD set")
    colors = style.set_colors(id_name, found)
    panels = 2 + bool(by_class) + bool(abstain)
    lines = -(-panels // 2)
    figure = layout.new_figure(11.0, 0.4 + 3.7 * lines)
    every = figure.subplots(lines, 2, squeeze=False).ravel()
    for axes in every[panels:]:
        axes.set_axis_off()
    shown = iter(every)
    _false_alarms(next(shown), false_alarms)
    _power(next(shown), found, colors)
    if by_class:
        _classes(next(shown), by_class, alpha)
    if abstain:
        _abstention(next(shown), abstain, allowed, {id_name, *found})
    key = {n: {"color": colors[n], "lw": 0, "marker": "o", "ms": 6} for n in found}
    caption = (
        "A dot is a detector. False alarms: means over splits; the band is where 95 % "
        "of single splits are promised to lie. Power: the share of outliers found in "
        "batches, where a tenth of those rejected may be false alarms; hollow: by "
        "conditional p-values."
    )
    if abstain:
        caption += (
            " Abstention: grey, the share of images accepted; red, accepted and wrong: "
            f"at most {allowed:.0%} (line) is promised, of images like those of "
            "calibration and of no others. Any class of an outlier is wrong."
        )
    return layout.frame(figure, title, key=layout.line_key(key), caption=caption)


def _false_alarms(axes: Axes, rows: Mapping) -> None:
    names = list(rows)
    promises = [100 * promised for promised, *_ in rows.values()]
    most = 2.4 * max(promises)
    for y, (promised, rates, band) in enumerate(rows.values()):
        rates = 100 * np.asarray(rates, float)
        if band:
            low, high = (100 * end for end in band)
            axes.barh(y, high - low, 0.7, low, color=BAND, zorder=1)
        axes.plot([100 * promised] * 2, [y - 0.35, y + 0.35], color=style.INK, lw=1.2)
        axes.scatter(rates, y + _spread(len(rates)), color=style.ID_COLOR, **DOT)
        if beyond := rates[rates > most].tolist():
            text = f"{', '.join(f'{r:.0f} %' for r in beyond)} →"
            at = (most, y)
            style.annotate(axes, text, at, (0, 0), "data", ha="right", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, most)
    style.title(axes, "False alarms, and what was promised (line)")
    style.style_axes(axes, "in-distribution images rejected, %", grid="x")


def _power(axes: Axes, found: Mapping, colors: Mapping) -> None:
    for name, of in found.items():
        area, marginal, conditional = np.asarray(of, float).T
        axes.scatter(area, 100 * marginal, color=colors[name], **DOT)
        look = DOT | {"lw": 1, "alpha": 0.8, "facecolors": "none"}
        axes.scatter(area, 100 * conditional, edgecolors=colors[name], **look)
    axes.set_ylim(-3, 103)
    style.title(axes, "A high AUROC is needed to find single outliers")
    style.style_axes(axes, "AUROC", "outliers found in batches, %", grid="both")


def _classes(axes: Axes, rates: Sequence, alpha: float) -> None:
    """Dots of detectors by class, the class with most alarms at the top."""
    shares = 100 * np.array(rates, float)  # None is NaN
    medians = np.nanmedian(shares, 0)
    order = np.argsort(-medians, kind="stable")
    for y, c in enumerate(order):
        spread = 0.6 * _spread(len(shares))
        axes.scatter(shares[:, c], y + spread, color=style.ID_COLOR, **DOT)
        ends = [y - 0.35, y + 0.35]
        axes.plot([medians[c]] * 2, ends, color=style.ID_COLOR, lw=2.4, zorder=4)
    axes.axvline(100 * alpha, color=style.INK, lw=1.2, zorder=1)
    axes.set_yticks(range(len(order)), [f"class {c}" for c in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(left=0)
    style.title(axes, f"The promise of {alpha:.0%} is of all classes together")
    style.style_axes(axes, "images of the class rejected, %", grid="x")


def _abstention(axes: Axes, sets: Mapping, allowed: float, plain: set) -> None:
    for y, (accepted, wrong) in enumerate(sets.values()):
        axes.barh(y, 100 * accepted, 0.62, color=ACCEPTED, zorder=2)
        axes.barh(y, 100 * wrong, 0.62, color=style.OOD_COLORS[0], zorder=3)
        text = f"{100 * wrong:.1f} %"
        at = (100 * max(accepted, wrong, allowed), y)
        style.annotate(axes, text, at, (4, 0), coords="data", va="center")
    axes.axvline(100 * allowed, color=style.INK, lw=1.2, zorder=4)
    axes.set_yticks(range(len(sets)), list(sets))
    axes.set_ylim(len(sets) - 0.4, -0.6)
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    style.title(axes, "Abstention: errors among all images")
    style.style_axes(axes, "share of images, %", grid="x")


def _spread(count: int) -> np.ndarray:
    """Offsets that keep dots of a row apart: the same in every picture."""
    # multiples of the golden ratio are far from each other
    return 0.5 * ((np.arange(count) * 0.6180339887) % 1 - 0.5)

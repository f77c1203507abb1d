"""Drift of a stream of scores: wealth, delays, false alarms, and what is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowjax_ood.figures import layout, style
from flowjax_ood.figures.severities import LOOKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# powers of ten of wealth that are shown: it grows without end, and falls
LOWEST, HIGHEST = -12.0, 12.0
DOT: dict[str, Any] = {"s": 30, "alpha": 0.6, "lw": 0, "zorder": 3, "clip_on": False}


def drift_panels(
    curves: Mapping[str, Sequence[Sequence[float]]],
    changes: Sequence[str],
    delays: Mapping[str, Sequence[float | None]],
    false_alarms: Mapping[str, tuple[float | None, Sequence[float]]],
    vanished: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    *,
    every: int,
    change: int,
    steps: int,
    alarm: float,
    detector: str,
    title: str = "How fast a change in a stream is noticed",
) -> Figure:
    """Draw wealth by step, median delays, false alarms and classes that vanish.

    Args:
        curves: `{change: (low, median, high) of log10 wealth, [3][points]}`, up to 4.
        changes: the rows of the panel of delays, from the top.
        delays: `{monitor: median delay of each change}`, None for missed; up to 8.
        false_alarms: `{monitor: (promised or None, rate of every detector)}`.
        vanished: `{monitor: {class: share of streams in which it was noticed, by
            detector}}`; none leaves the panel out.
        every: steps between two points of the curves.
        change: the last step before the change.
        steps: the length of a stream.
        alarm: the wealth that rings.
        detector: what curves and delays are of.
        title: above everything.
    """
    if not curves or not changes or not delays:
        raise ValueError("nothing to draw: no curves, no changes or no monitors")
    if len(delays) > len(LOOKS):
        raise ValueError(
            f"{len(delays)} monitors in one figure, but only {len(LOOKS)} can be told "
            f"apart: draw {', '.join(delays)} in several figures"
        )
    lines = 2
    figure = layout.new_figure(11.5, 0.4 + 3.9 * lines)
    every_axes = figure.subplots(lines, 2).ravel()
    looks = {
        name: {"color": color, "marker": marker}
        for name, (color, marker) in zip(delays, LOOKS)
    }
    _wealth(every_axes[0], curves, every, change, steps, alarm, detector)
    _delays(every_axes[1], changes, delays, looks, steps - change, detector)
    _false_alarms(every_axes[2], false_alarms, looks)
    if vanished:
        _vanished(every_axes[3], vanished, looks)
    else:
        every_axes[3].set_axis_off()
    caption = (
        "Wealth of power bets: median of the streams, and where 80 % of them are. "
        "Delays: medians; at the right edge, most streams miss the change. False "
        "alarms: streams in which nothing changes; a dot is a detector, a line what is "
        "promised at most."
    )
    key = {n: look | {"lw": 0, "ms": 7} for n, look in looks.items()}
    return layout.frame(figure, title, key=layout.line_key(key), caption=caption)


def _wealth(axes, curves, every, change, steps, alarm, detector) -> None:
    for number, (name, quantiles) in enumerate(curves.items()):
        low, middle, high = np.clip(np.asarray(quantiles, float), -50, 50)
        at = every * np.arange(1, len(middle) + 1)
        # without a change: dark
        color = (style.INK, *style.OOD_COLORS)[number]
        axes.fill_between(at, low, high, color=color, alpha=0.15, lw=0)
        axes.plot(at, middle, lw=2.2, color=color, label=name)
    axes.axhline(np.log10(alarm), color=style.INK, lw=1.2)
    axes.axvline(change, color=style.MUTED, lw=1, linestyle=(0, (3, 2)))
    axes.set(xlim=(0, steps), ylim=(LOWEST, HIGHEST))
    ticks = np.arange(LOWEST, HIGHEST + 1, 6)
    axes.set_yticks(ticks, [f"1e{t:.0f}" if t else "1" for t in ticks])
    axes.legend(loc="upper right", fontsize=style.SMALL, frameon=False)
    style.title(axes, f"Wealth, {detector}")
    style.style_axes(axes, "step", "wealth", grid="y")


def _delays(axes: Axes, changes, delays: Mapping, looks, longest: int, of: str) -> None:
    offsets = np.linspace(-0.3, 0.3, len(delays))
    beyond = 1.25 * longest
    for offset, (name, values) in zip(offsets, delays.items()):
        at = [beyond if v is None else max(v, 1.0) for v in values]
        y = np.arange(len(at)) + offset
        axes.plot(at, y, lw=0, ms=6, clip_on=False, zorder=3, **looks[name])
    for y in range(1, len(changes)):
        axes.axhline(y - 0.5, color=style.GRID, lw=0.8)
    axes.set_xscale("log")
    axes.set_xlim(3, beyond)
    ticks = [t for t in (3, 10, 30, 100, 300, 1000, 3000) if t <= longest]
    axes.set_xticks([*ticks, beyond], [*map(str, ticks), "missed"])
    axes.minorticks_off()
    axes.set_yticks(range(len(changes)), changes)
    axes.set_ylim(len(changes) - 0.5, -0.5)
    style.title(axes, f"Delay, {of}")
    style.style_axes(axes, "steps from the change to the alarm", grid="x")


def _false_alarms(axes: Axes, rows: Mapping, looks: Mapping) -> None:
    for y, (name, (bound, rates)) in enumerate(rows.items()):
        spread = 0.12 * (np.arange(len(rates)) % 3 - 1)
        at = 100 * np.asarray(rates, float)
        axes.scatter(at, y + spread, **looks[name], **DOT)
        if bound is not None:
            axes.plot([100 * bound] * 2, [y - 0.35, y + 0.35], color=style.INK, lw=1.6)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    # most are near 0, and those without a promise are far from it
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 1, 5, 20, 100], ["0", "1", "5", "20", "100"])
    axes.minorticks_off()
    style.title(axes, "Alarms where nothing changes")
    style.style_axes(axes, "streams, %", grid="x")


def _vanished(axes: Axes, by_monitor: Mapping, looks: Mapping) -> None:
    rows = next(iter(by_monitor.values()))
    for name, of in by_monitor.items():
        for y, rates in enumerate(of.values()):
            rates = 100 * np.asarray(rates, float)
            spread = 0.12 * (np.arange(len(rates)) % 3 - 1)
            axes.scatter(rates, y + spread, **looks[name], **DOT)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    style.title(axes, "A class vanishes: who notices")
    style.style_axes(axes, "streams with an alarm, %", grid="x")

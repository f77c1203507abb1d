"""The figure of a benchmark: against depth, against batch size, or bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.benchmark.cases import label, short, varying
from experiments.benchmark.outputs import CONSTANT, RATE, failures, heading
from flowjax_ood.figures import layout, style
from flowjax_ood.interface.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    style.ID_COLOR,
    style.OOD_COLORS[0],
    style.FLOW_COLORS[1],
    style.OOD_COLORS[1],
    style.OOD_COLORS[2],
    style.FLOW_COLORS[3],
    style.FLOW_COLORS[0],
    style.OOD_COLORS[3],
    style.FLOW_COLORS[2],
)
MARKERS = "os^DvPX<>"
# a panel: its title, its column, and the columns of its spread
PANELS = (
    ("compile time (s)", "compile_seconds", None),
    ("temporary memory (MiB)", "temporary_mib", None),
    ("step time (ms)", "step_ms_p50", ("step_ms_p10", "step_ms_p90")),
)
RATES = ("images/s", RATE, (f"{RATE}_min", f"{RATE}_max"))
# a flat line does not fill its axis with noise
LEAST_RANGE = 4.0


def draw(rows: Sequence[dict], settings: Sequence[str]) -> Figure:
    """Cost against the first number that is swept, a line for each stacking or mode.

    Where a numeric key of the config is: compile time, temporary memory, and step time
    (median, 10% to 90%), log-log. Where batch sizes are: images/s, the slowest and the
    fastest repeat with it. Otherwise, and where there would be too many lines to tell
    apart: bars of images/s.
    """
    swept = [c for c in varying(rows) if c in settings]
    own = ("mode", "batch_size", "precision", "parallel", "stack")
    numeric = [
        c
        for c in swept
        if c not in own and all(type(row[c]) in (int, float) for row in rows)
    ]
    x = numeric[0] if numeric else "batch_size" if "batch_size" in swept else None
    lines = _lines(rows, x, swept)
    notes = [heading(rows, (*settings, *CONSTANT))]
    key: list = []
    if x is None or len(lines) > len(COLORS) * len(style.FLOW_LINES):
        title = "Throughput: median, slowest and fastest repeat"
        figure = _bars(rows, swept)
    elif numeric:
        names = "compile time, memory and step time"
        title = f"{names} against {short(x)}".capitalize()
        figure, key = _against(lines, x, PANELS)
        notes.append("Bars span 10% to 90% of the steps")
    else:
        title = "Throughput against batch size"
        figure, key = _against(lines, x, [RATES])
        notes.append("Bars span the repeats")
    notes += ["Failed: " + line.rstrip(".") for line in failures(rows, swept)]
    return layout.frame(figure, title, key=key, caption=". ".join(notes))


def _lines(rows, x, swept) -> dict[str, list[dict]]:
    """Rows by what they differ in besides x, in the order in which they came."""
    others = [c for c in swept if c != x]
    lines: dict[str, list[dict]] = {}
    for row in rows:
        name = label(row, others).removeprefix("" if "mode" in others else row["mode"])
        lines.setdefault(name.strip(), []).append(row)
    return lines


def _against(lines, x, panels) -> tuple[Figure, list]:
    """Draw a panel for each cost; return the figure and the entries of its key."""
    wide = len(panels) > 1
    figure = layout.new_figure(12.0 if wide else 7.5, 4.0 if wide else 4.6)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, column, spread) in zip(every, panels):
        values = []  # that the lines take up
        for index, rows in enumerate(lines.values()):
            shown = [row for row in rows if row[column] is not None]
            shown.sort(key=lambda row: row[x])
            at, look = [row[x] for row in shown], _look(index)
            axes.plot(at, [row[column] for row in shown], **look)
            ends = [[row[end] for row in shown] for end in spread or [column]]
            if spread:
                axes.vlines(at, *ends, color=look["color"], lw=1.4)
            values += [value for line in ends for value in line]
        _log_axes(axes, [r[x] for rows in lines.values() for r in rows], values)
        x_label = "batch size (images)" if x == "batch_size" else short(x)
        style.style_axes(axes, x_label, name, grid="both")
    looks = {name: _look(index) for index, name in enumerate(lines)}
    return figure, layout.line_key(looks) if len(lines) > 1 else []


def _look(index: int) -> dict:
    """Colour, dashes and marker of a line: apart even where two coincide."""
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": style.FLOW_LINES[index % len(style.FLOW_LINES)],
        "lw": 2.2,
        "ms": 8,
        "mew": 1.6,
        "mfc": "none",
    }


def _log_axes(axes: Axes, at, values) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    def plain(value, _position=None):
        return f"{value:,.10g}"

    at = sorted(set(at))
    if at[0] > 0:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(at, map(plain, at))
    values = [value for value in values if value > 0]
    if not values:
        return
    low, high = min(values), max(values)
    room = max(1.0, LEAST_RANGE * low / high) ** 0.5 * 1.15
    axes.set_yscale("log")
    axes.set_ylim(low / room, high * room)
    decades = high / low > 1e3
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if decades else (1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(plain)


def _bars(rows, swept) -> Figure:
    """Images/s of each row, from the top, with the slowest and the fastest repeat."""
    figure = layout.new_figure(8.0, 0.9 + 0.42 * len(rows))
    axes = figure.subplots()
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    most = max(row[f"{RATE}_max"] or 0 for row in rows)
    for at, row in enumerate(rows):
        color = COLORS[modes.index(row["mode"])]
        low, high = row[f"{RATE}_min"], row[f"{RATE}_max"]
        if low is None:
            text, end = "failed", 0.0
        else:
            text, end = number(row[RATE]), high
            axes.barh(at, row[RATE], color=color, height=0.68)
            axes.hlines(at, low, high, color=style.INK, lw=1.6)
        style.annotate(axes, text, (end, at), (5, 0), "data", va="center")
    axes.set_yticks(range(len(rows)), [label(row, swept) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * most)
    style.style_axes(axes, "images/s", grid="x")
    axes.tick_params(axis="y", length=0, labelsize=style.LABEL)
    return figure

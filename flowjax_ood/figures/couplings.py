"""The input and the predictions of couplings: one in detail, or all (paper, Sec. 6).

With the law `y = (x + t) * exp(s)` on the hidden pixels, maximum likelihood wants
`y` small and `s` large: -t becomes a prediction of the hidden pixels from the
visible ones, and s the confidence in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style
from flowjax_ood.figures.panels import (
    check_rows,
    color_bar,
    color_range,
    color_scale,
    label_row,
    one_channel,
    row_colors,
    show,
    show_image,
    signed_scale,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In the order of the argument: what is given, what the network says about the rest,
# what the rest was, and how sure the network is.
COLUMNS = {
    "image": "image",
    "input": "seen by the\nst-network",
    "-t": "predicted\n−t",
    "target": "truth\nhidden pixels",
    "s": "confidence\nlog-scale s",
}
PIXELS = ("input", "-t", "target")
SAME = 0.05  # a correlation lower by less than this counts as "as well as"
LEARNT = 0.3  # below this, even for ID images, there is no prediction to speak of

# Of all couplings: -t and exp(s), `PER_PAGE` couplings side by side.
QUANTITIES = ("-t", "s")
PER_PAGE = 8
TILE = 1.3  # inches

# label, is_id, image [H, W, C], maps of each coupling
Row = tuple[str, bool, np.ndarray, Sequence[Mapping[str, np.ndarray]]]


def coupling_panels(
    rows: Sequence[tuple[str, bool, Mapping[str, np.ndarray]]],
    *,
    correlation: Mapping[str, float] | None = None,
    channel: int = 0,
    title: str | None = None,
) -> Figure:
    """Draw one coupling at work on in- and out-of-distribution images.

    Args:
        rows: `(label, is_id, panels)`, one row an image. `panels` maps some of
            "image" (shown as it is), "input" (what the st-network sees), "-t" (its
            prediction of the hidden pixels), "target" (those pixels) and "s"
            (log-scale) to `[H, W, C]`; the same names in every row. All but "image"
            are in logit space, with NaN where there is nothing to show: that is drawn
            light grey. "input", "-t" and "target" share one colour scale.
        correlation: `{label: corr(-t, target)}`, written next to the rows.
        channel: The channel that is shown.
        title: By default compares the correlations, if there are any.
    """
    check_rows(rows)
    columns = [name for name in COLUMNS if name in rows[0][2]]
    if unknown := sorted(set(rows[0][2]) - set(COLUMNS)):
        raise ValueError(f"unknown panels {unknown}; known are {list(COLUMNS)}")
    correlation = correlation or {}
    if unknown := sorted(set(correlation) - {label for label, *_ in rows}):
        raise ValueError(f"correlation names {unknown}, which no row shows")
    maps = {
        name: [
            one_channel(panels[name], channel, f"{name!r} of {label!r}")
            for label, _, panels in rows
        ]
        for name in columns
        if name != "image"
    }
    scales = _scales(maps)
    colors = row_colors(rows)

    figure = layout.new_figure(1.9 * len(columns) + 2.0, 1.95 * len(rows) + 1.2)
    # The last, thin row is for the colour bars.
    cells = figure.add_gridspec(
        len(rows) + 1, len(columns), height_ratios=[1] * len(rows) + [0.07]
    )
    drawn = {}
    for r, (label, is_id, panels) in enumerate(rows):
        for c, name in enumerate(columns):
            axes = figure.add_subplot(cells[r, c])
            if name == "image":
                show_image(axes, panels[name], f"image of {label!r}")
            else:
                drawn[name] = show(axes, maps[name][r], **scales[name])
            if r == 0:
                style.title(axes, COLUMNS[name])
            if c == 0:
                known = label in correlation
                note = f"corr(−t, x) = {correlation[label]:.2f}" if known else ""
                label_row(axes, label, is_id, colors[label], note)
    for names, label in ((PIXELS, "pixel, logit space (grey: masked)"), ("s", "s")):
        if block := [c for c, name in enumerate(columns) if name in names]:
            axes = figure.add_subplot(cells[-1, block[0] : block[-1] + 1])
            color_bar(axes, drawn[columns[block[0]]], label, "horizontal")
    return layout.frame(figure, title or _finding(rows, correlation))


def coupling_pages(
    rows: Sequence[Row],
    *,
    names: Sequence[str] | None = None,
    channel: int = 0,
    per_page: int = PER_PAGE,
) -> list[Figure]:
    """Draw -t and exp(s) of every coupling, `per_page` couplings to a figure.

    The images of one coupling share one colour scale of -t, in the units of its input:
    logits of pixels at the first couplings. exp(s) has one scale a page, white at 1.

    Args:
        rows: `(label, is_id, image [H, W, C], maps)`, one an image; `maps` holds, for
            each coupling, "-t" and "s" as `[H, W, C]` (`couplings.image_maps`), with
            NaN, drawn grey, where the coupling changes nothing. `image` is uint8, or
            float in [0, 1].
        names: Written above each coupling, below its number.
        channel: The channel that is shown.
        per_page: Couplings of one figure, at most.
    """
    check_rows([(label, is_id, range(len(maps))) for label, is_id, _, maps in rows])
    for label, _, _, maps in rows:
        for k, panels in enumerate(maps):
            if missing := sorted(set(QUANTITIES) - set(panels)):
                raise ValueError(f"coupling {k} of {label!r} has no {missing}")
    depth = len(rows[0][3])
    if names is not None and len(names) != depth:
        raise ValueError(f"{len(names)} names for {depth} couplings")
    if per_page < 1:
        raise ValueError(f"per_page must be at least 1, got {per_page}")
    pages = -(-depth // per_page)
    # as many on the last page as on the others, give or take one
    starts = [round(i * depth / pages) for i in range(pages + 1)]
    return [
        _page(rows, names, channel, range(a, b), depth) for a, b in pairwise(starts)
    ]


def _finding(rows: Sequence[tuple], correlation: Mapping[str, float]) -> str:
    """Say in a title: do predictions for OOD images match those for ID images?"""
    ids = [name for name, is_id, _ in rows if is_id and name in correlation]
    oods = [name for name, is_id, _ in rows if not is_id and name in correlation]
    if not ids or not oods:
        return "What one coupling layer sees, and what it predicts"
    worst = min(correlation[n] for n in ids)
    if worst < LEARNT:
        return "What one coupling layer sees; it has not learnt to predict yet"
    gap = worst - min(correlation[n] for n in oods)
    how = "as well as" if gap < SAME else "less well than"
    return (
        f"The st-network predicts hidden pixels of {' and '.join(dict.fromkeys(oods))} "
        f"{how} those of {' and '.join(dict.fromkeys(ids))}"
    )


def _scales(maps: Mapping[str, list[np.ndarray]]) -> dict[str, dict]:
    """Colour scale of each column, the same in all rows."""
    scales: dict[str, dict] = {}
    # Predictions may overshoot: true pixels set the scale where there are any.
    pixels = maps.get("input", []) + maps.get("target", []) or maps.get("-t", [])
    if pixels:
        scale = color_scale("viridis", *color_range(pixels))
        scales |= dict.fromkeys(PIXELS, scale)
    if "s" in maps:
        scales["s"] = signed_scale(max(map(abs, color_range(maps["s"]))))
    return scales


def _page(rows, names, channel, shown: range, depth: int) -> Figure:
    predicted, scales = (
        {
            (r, k): one_channel(maps[k][name], channel, f"{name!r} of {label!r}")
            for r, (label, _, _, maps) in enumerate(rows)
            for k in shown
        }
        for name in QUANTITIES
    )
    largest = max(np.abs(s[np.isfinite(s)]).max(initial=0.0) for s in scales.values())
    top = float(np.clip(largest, 0.1, 8.0))
    colors = row_colors(rows)

    columns = len(shown) + 1
    figure = layout.new_figure(TILE * columns + 2.8, TILE * 2 * len(rows) + 0.5)
    # below and at the right, thin ones for the colour bars of -t and of exp(s)
    cells = figure.add_gridspec(
        2 * len(rows) + 1,
        columns + 1,
        height_ratios=[1] * (2 * len(rows)) + [0.08],
        width_ratios=[1] * columns + [0.08],
    )
    layout.space(figure, wspace=0.02, hspace=0.02)
    for r, (label, is_id, image, _) in enumerate(rows):
        axes = figure.add_subplot(cells[2 * r : 2 * r + 2, 0])
        show_image(axes, image, f"image of {label!r}")
        label_row(axes, label, is_id, colors[label])
    for c, k in enumerate(shown, start=1):
        low, high = color_range([predicted[r, k] for r in range(len(rows))])
        look = color_scale("viridis", low, high)
        for r in range(len(rows)):
            upper = figure.add_subplot(cells[2 * r, c])
            lower = figure.add_subplot(cells[2 * r + 1, c])
            prediction = show(upper, predicted[r, k], **look)
            # colours of s are those of exp(s) on a logarithmic scale
            factor = show(lower, scales[r, k], **signed_scale(top))
            if r == 0:
                style.title(upper, f"{k + 1}\n{names[k]}" if names else f"{k + 1}")
            if c == 1:
                for axes, text in ((upper, "−t"), (lower, "exp(s)")):
                    axes.set_ylabel(text, fontsize=style.SMALL, color=style.INK)
        bar = figure.add_subplot(cells[-1, c])
        color_bar(bar, prediction, "", "horizontal")
        ends = [_short(v) for v in (low, high)]
        left, right = bar.set_xticks([low, high], ends)
        left.label1.set_horizontalalignment("left")
        right.label1.set_horizontalalignment("right")
    bar = figure.add_subplot(cells[:-1, -1])
    color_bar(bar, factor, "scale exp(s)", "vertical")
    bar.set_yticks([-top, 0, top], [f"{np.exp(s):.2g}" for s in (-top, 0, top)])
    note = "Grey: not changed by this coupling, or factored out before it."
    if (channels := np.shape(rows[0][2])[-1]) > 1:
        note = f"Channel {channel} of 0 to {channels - 1}. {note}"
    title = "What each coupling predicts, −t, and its scale, exp(s)"
    if len(shown) < depth:
        title += f": couplings {shown[0] + 1} to {shown[-1] + 1} of {depth}"
    return layout.frame(figure, title, caption=note)


def _short(value: float) -> str:
    text = f"{value:.2g}" if abs(value) >= 0.01 or value == 0 else f"{value:.0e}"
    return text.replace("e-0", "e-").replace("-", "−")

"""What one coupling layer sees and predicts (paper, Sec. 6).

With the law `y = (x + t) * exp(s)` on the hidden pixels, maximum likelihood wants
`y` small and `s` large: -t becomes a prediction of the hidden pixels from the
visible ones, and s the confidence in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.analysis import layout, panel_grid

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


def coupling_panels(
    rows: Sequence[tuple[str, bool, Mapping[str, np.ndarray]]],
    *,
    correlation: Mapping[str, float] | None = None,
    channel: int = 0,
    title: str | None = None,
) -> Figure:
    """One coupling layer at work on in- and out-of-distribution images.

    Args:
      rows: `(label, is_id, panels)`, one row an image. `panels` maps some of
        "image" (shown as it is), "input" (what the st-network sees), "-t" (its
        prediction of the hidden pixels), "target" (those pixels) and "s" (log-scale)
        to `[H, W, C]`; the same names in every row. All but "image" are in logit
        space, with NaN where there is nothing to show: that is drawn light grey.
        "input", "-t" and "target" share one colour scale.
      correlation: `{label: corr(-t, target)}`, written beside the rows.
      channel: the channel that is shown.
      title: by default compares the correlations, if there are any.
    """
    panel_grid.check_rows(rows, [panels for *_, panels in rows])
    columns = [name for name in COLUMNS if name in rows[0][2]]
    if unknown := sorted(set(rows[0][2]) - set(COLUMNS)):
        raise ValueError(f"unknown panels {unknown}; known are {list(COLUMNS)}")
    correlation = correlation or {}
    if unknown := sorted(set(correlation) - {label for label, *_ in rows}):
        raise ValueError(f"correlation names {unknown}, which no row shows")
    maps = {
        name: [
            panel_grid.one_channel(panels[name], channel, f"{name!r} of {label!r}")
            for label, _, panels in rows
        ]
        for name in columns
        if name != "image"
    }
    scales = _scales(maps)
    colors = panel_grid.row_colors(rows)

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
                panel_grid.show_image(axes, panels[name], f"image of {label!r}")
            else:
                drawn[name] = panel_grid.show_map(axes, maps[name][r], **scales[name])
            if r == 0:
                panel_grid.title_column(axes, COLUMNS[name])
            if c == 0:
                known = label in correlation
                note = f"corr(−t, x) = {correlation[label]:.2f}" if known else ""
                panel_grid.label_row(axes, label, is_id, colors[label], note)
    for names, label in ((PIXELS, "pixel, logit space (grey: masked)"), ("s", "s")):
        if block := [c for c, name in enumerate(columns) if name in names]:
            axes = figure.add_subplot(cells[-1, block[0] : block[-1] + 1])
            panel_grid.color_bar(axes, drawn[columns[block[0]]], label, "horizontal")
    layout.set_title(figure, title or _finding(rows, correlation))
    return figure


def _finding(rows: Sequence[tuple], correlation: Mapping[str, float]) -> str:
    """The title: do predictions for OOD images match those for ID images?"""
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
        low, high = _range(pixels)
        scale = {"cmap": panel_grid.colormap("viridis"), "vmin": low, "vmax": high}
        scales |= dict.fromkeys(PIXELS, scale)
    if "s" in maps:
        top = max(map(abs, _range(maps["s"]))) or 1.0
        cmap = panel_grid.colormap("RdBu_r")
        scales["s"] = {"cmap": cmap, "vmin": -top, "vmax": top}
    return scales


def _range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if values.size == 0:
        raise ValueError("nothing to draw: not one value is finite")
    low, high = np.quantile(values, [0.01, 0.99])
    return float(low), float(high)

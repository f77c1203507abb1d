"""All couplings of a flow on a few images: predictions and scales (paper, Sec. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.analysis import layout, panel_grid, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_PAGE = 8  # couplings side by side
TILE = 1.3  # inches
QUANTITIES = ("-t", "s")

Row = tuple[str, bool, np.ndarray, Sequence[Mapping[str, np.ndarray]]]


def coupling_pages(
    rows: Sequence[Row],
    *,
    names: Sequence[str] | None = None,
    channel: int = 0,
    per_page: int = PER_PAGE,
) -> list[Figure]:
    """-t and exp(s) of every coupling, `per_page` couplings to a figure.

    Args:
      rows: `(label, is_id, image [H, W, C], maps)`, one an image; `maps` holds, for
        each coupling, "-t" and "s" as `[H, W, C]` (`couplings.image_maps`), with NaN,
        drawn grey, where the coupling changes nothing. `image` is uint8, or in [0, 1].
      names: what is written above each coupling, below its number.
      channel: the channel that is shown.

    The images of one coupling share one colour scale of -t, in the units of its input:
    logits of pixels at the first couplings. exp(s) has one scale a page, white at 1.
    """
    depth = _checked_depth(rows, names)
    if per_page < 1:
        raise ValueError(f"per_page must be at least 1, got {per_page}")
    pages = -(-depth // per_page)
    # as many on the last page as on the others, give or take one
    starts = [round(i * depth / pages) for i in range(pages + 1)]
    return [
        _page(rows, names, channel, range(a, b), depth) for a, b in pairwise(starts)
    ]


def _page(rows, names, channel, shown: range, depth: int) -> Figure:
    maps = {
        (r, k, q): panel_grid.one_channel(row[3][k][q], channel, f"{q!r} of {row[0]!r}")
        for r, row in enumerate(rows)
        for k in shown
        for q in QUANTITIES
    }
    scales = [np.abs(m[np.isfinite(m)]) for (*_, q), m in maps.items() if q == "s"]
    # within e^8, and never of no width
    top = float(np.exp(np.clip(max(s.max(initial=0.0) for s in scales), 0.1, 8.0)))
    colors = panel_grid.row_colors(rows)

    columns = len(shown) + 1
    figure = layout.new_figure(TILE * columns + 2.8, TILE * 2 * len(rows) + 0.5)
    # below them thin rows for the colour bars of -t
    cells = figure.add_gridspec(
        2 * len(rows) + 1,
        columns + 1,
        height_ratios=[1] * (2 * len(rows)) + [0.08],
        width_ratios=[1] * columns + [0.08],
    )
    figure.get_layout_engine().set(wspace=0.02, hspace=0.02)
    for r, (label, is_id, image, _) in enumerate(rows):
        axes = figure.add_subplot(cells[2 * r : 2 * r + 2, 0])
        panel_grid.show_image(axes, image, f"image of {label!r}")
        panel_grid.label_row(axes, label, is_id, colors[label])
    scale = None
    for c, k in enumerate(shown, start=1):
        low, high = _range([maps[r, k, "-t"] for r in range(len(rows))])
        for r in range(len(rows)):
            axes = figure.add_subplot(cells[2 * r, c])
            look = {"cmap": panel_grid.colormap("viridis"), "vmin": low, "vmax": high}
            drawn = panel_grid.show_map(axes, maps[r, k, "-t"], **look)
            if r == 0:
                name = f"\n{names[k]}" if names else ""
                panel_grid.title_column(axes, f"{k + 1}{name}")
            below = figure.add_subplot(cells[2 * r + 1, c])
            scale = panel_grid.show_map(
                below,
                np.exp(np.clip(maps[r, k, "s"], -np.log(top), np.log(top))),
                cmap=panel_grid.colormap("RdBu_r"),
                norm=_log_norm(top),
            )
            if c == 1:
                for left, text in ((axes, "−t"), (below, "exp(s)")):
                    left.set_ylabel(text, fontsize=style.SMALL, color=style.INK)
        bar = figure.add_subplot(cells[-1, c])
        panel_grid.color_bar(bar, drawn, "", "horizontal")
        ends = [_short(v) for v in (low, high)]
        for text, side in zip(bar.set_xticks([low, high], ends), ("left", "right")):
            text.label1.set_ha(side)
    bar = figure.add_subplot(cells[:-1, -1])
    panel_grid.color_bar(bar, scale, "scale exp(s)", "vertical")
    ticks = [1 / top, 1, top]
    bar.set_yticks(ticks, [f"{v:.2g}" for v in ticks])
    bar.minorticks_off()
    note = "Grey: not changed by this coupling, or factored out before it."
    if (channels := np.shape(rows[0][2])[-1]) > 1:
        note = f"Channel {channel} of 0 to {channels - 1}. {note}"
    layout.set_caption(figure, note)
    title = "What each coupling predicts, −t, and its scale, exp(s)"
    if len(shown) < depth:
        title += f": couplings {shown[0] + 1} to {shown[-1] + 1} of {depth}"
    layout.set_title(figure, title)
    return figure


def _checked_depth(rows: Sequence[Row], names: Sequence[str] | None) -> int:
    panel_grid.check_rows(rows, [dict.fromkeys(range(len(row[3]))) for row in rows])
    for label, _, _, maps in rows:
        for k, panels in enumerate(maps):
            if missing := sorted(set(QUANTITIES) - set(panels)):
                raise ValueError(f"coupling {k} of {label!r} has no {missing}")
    depth = len(rows[0][3])
    if names is not None and len(names) != depth:
        raise ValueError(f"{len(names)} names for {depth} couplings")
    return depth


def _range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Colour scale that holds 98% of the values, never of no width."""
    values = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not values.size:
        return -1.0, 1.0
    low, high = (float(q) for q in np.quantile(values, [0.01, 0.99]))
    room = 0.05 * max(1.0, abs(high)) if high - low < 1e-6 else 0.0
    return low - room, high + room


def _short(value: float) -> str:
    text = f"{value:.2g}" if abs(value) >= 0.01 or value == 0 else f"{value:.0e}"
    return text.replace("e-0", "e-").replace("-", "−")


def _log_norm(top: float):
    from matplotlib.colors import LogNorm

    return LogNorm(1 / top, top)

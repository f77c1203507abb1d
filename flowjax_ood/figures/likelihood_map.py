"""Maps of log p(x) beside the images that they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def likelihood_map_panels(
    rows: Sequence[tuple[str, bool, np.ndarray, Mapping[str, np.ndarray]]],
    *,
    notes: Sequence[Mapping[str, str]] | None = None,
    title: str | None = None,
    caption: str | None = None,
    label: str = "bits more than usual",
) -> Figure:
    """Draw images and, for each flow, where they are likelier (red) than usual.

    Args:
        rows: `(label, is_id, image [H, W, C], {flow: map [H, W]})`, one row an image;
            the same flows in every row. All maps share one scale that holds 98 % of the
            values; what is not finite is drawn light grey.
        notes: Small print below maps, `{flow: text}` for each row; below the image, of
            the key "image".
        title: Above everything.
        caption: Below everything.
        label: Of the colour bar.

    Raises:
        ValueError: Rows differ in their flows, or a map is not `[H, W]`.
    """
    panels.check_rows(rows)
    flows = list(rows[0][3])
    for name, _, _, maps in rows:
        for flow, values in maps.items():
            if np.ndim(values) != 2:
                raise ValueError(
                    f"the map of {name!r} by {flow!r} must be [H, W], got shape "
                    f"{np.shape(values)}"
                )
    colors = panels.row_colors(rows)
    every = [np.asarray(m, float) for *_, own in rows for m in own.values()]
    low, high = panels.color_range(every)
    scale = panels.signed_scale(max(-low, high))

    figure = layout.new_figure(1.35 * (len(flows) + 1) + 1.9, 1.55 * len(rows) + 0.3)
    cells = figure.add_gridspec(
        len(rows), len(flows) + 2, width_ratios=[1] * (len(flows) + 1) + [0.07]
    )
    drawn = None
    for r, (name, is_id, image, own) in enumerate(rows):
        first = figure.add_subplot(cells[r, 0])
        panels.show_image(first, image, f"image of {name!r}")
        panels.label_row(first, name, is_id, colors[name])
        below = notes[r] if notes else {}
        first.set_xlabel(below.get("image", ""), fontsize=style.SMALL, color=style.INK)
        if r == 0:
            style.title(first, "image")
        for c, flow in enumerate(flows, start=1):
            axes = figure.add_subplot(cells[r, c])
            values = np.asarray(own[flow], float)
            values = np.where(np.isfinite(values), values, np.nan)
            drawn = panels.show(axes, values, **scale)
            if r == 0:
                style.title(axes, flow)
            axes.set_xlabel(below.get(flow, ""), fontsize=style.SMALL, color=style.INK)
    assert drawn is not None  # there are rows and flows
    panels.color_bar(figure.add_subplot(cells[:, -1]), drawn, label, "vertical")
    return layout.frame(figure, title, caption=caption)

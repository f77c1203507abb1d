"""Latents in the layout of the image (paper, Sec. 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIP = 3.0  # standard deviations of the base density


def latent_panels(
    rows: Sequence[tuple[str, bool, np.ndarray, Mapping[str, np.ndarray]]],
    *,
    channel: int = 0,
    title: str = "Latents in the layout of the image",
) -> Figure:
    """Draw images and their latents z, on one diverging scale clipped at 3 deviations.

    Args:
        rows: `(label, is_id, image [H, W, C], {column title: latent [H, W, C]})`, one
            row an image; the same column titles in every row. NaN is drawn light grey.
        channel: The channel of the latents that is shown.
        title: Above everything.
    """
    panels.check_rows(rows)
    columns = list(rows[0][3])
    colors = panels.row_colors(rows)
    scale = panels.signed_scale(CLIP)

    figure = layout.new_figure(1.9 * len(columns) + 4.6, 1.95 * len(rows) + 0.4)
    cells = figure.add_gridspec(
        len(rows), len(columns) + 2, width_ratios=[1] * (len(columns) + 1) + [0.07]
    )
    for r, (label, is_id, image, latents) in enumerate(rows):
        first = figure.add_subplot(cells[r, 0])
        panels.show_image(first, image, f"image of {label!r}")
        panels.label_row(first, label, is_id, colors[label])
        if r == 0:
            style.title(first, "image")
        for c, name in enumerate(columns, start=1):
            axes = figure.add_subplot(cells[r, c])
            what = f"latent {name!r} of {label!r}"
            latent = panels.one_channel(latents[name], channel, what)
            drawn = panels.show(axes, latent, **scale)
            if r == 0:
                style.title(axes, name)
    channels = max(np.shape(z)[-1] for *_, latents in rows for z in latents.values())
    label = f"latent z, channel {channel}" if channels > 1 else "latent z"
    bar = figure.add_subplot(cells[:, -1])
    panels.color_bar(bar, drawn, label, "vertical")
    return layout.frame(figure, title)

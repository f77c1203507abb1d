"""Images and samples side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style
from flowjax_ood.figures.panels import as_rgb, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 2  # white pixels between images of a mosaic


def sample_grid(images: np.ndarray, title: str, columns: int = 10) -> Figure:
    """Draw images `[N, H, W, C]` in reading order, `columns` to a row.

    C is 1 or 3; uint8, or float in [0, 1].
    """
    images = as_rgb(images, "images")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:3]
    tile = _tile_inches(columns)
    figure = layout.new_figure(
        max(tile * columns, 3.0) + 0.12, tile * rows * height / width + 0.12
    )
    show(figure.subplots(), mosaic(images, columns))
    return layout.frame(figure, title)


def sample_comparison(
    rows: Mapping[str, np.ndarray],
    *,
    title: str | None = None,
    columns: int | None = None,
) -> Figure:
    """Draw a labelled row of images for each `{label: images [N, H, W, C]}`.

    Meant for data above samples of several flows or temperatures. Shows the first
    `columns` images of every row: by default as many as the shortest row has, at
    most 12.
    """
    if not rows:
        raise ValueError("no images to compare: rows is empty")
    images = {label: as_rgb(row, f"images of {label!r}") for label, row in rows.items()}
    shortest = min(images, key=lambda label: len(images[label]))
    if columns is None:
        columns = min(len(images[shortest]), 12)
    if not 1 <= columns <= len(images[shortest]):
        raise ValueError(
            f"{columns} columns, but {shortest!r} has {len(images[shortest])} images"
        )
    tile = _tile_inches(columns)
    heights = [row.shape[1] / row.shape[2] for row in images.values()]
    figure = layout.new_figure(1.0, sum(tile * h + 0.08 for h in heights))
    labels = max(layout.text_width(figure, label, style.LABEL) for label in images)
    labels += 0.15
    figure.set_figwidth(labels + tile * columns + 0.3)
    layout.space(figure, hspace=0, h_pad=0.03, wspace=0)
    # labels in cells of their own: the layout would cut those of an axis here
    grid = figure.subplots(
        len(images),
        2,
        squeeze=False,
        height_ratios=heights,
        width_ratios=[labels, tile * columns],
    )
    for (name, axes), (label, row) in zip(grid, images.items()):
        show(axes, mosaic(row[:columns], columns))
        axes.set_anchor("W")
        name.set_axis_off()
        look = {"ha": "right", "va": "center"}
        name.text(1, 0.5, label, fontsize=style.LABEL, color=style.INK, **look)
    return layout.frame(figure, title)


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Tile images `[N, H, W, 3]` row by row on white, `GAP` pixels apart."""
    count, height, width, _ = images.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3))
    for k, image in enumerate(images):
        top, left = k // columns * (height + GAP), k % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas


def _tile_inches(columns: int) -> float:
    """Side of an image: as large as ten inches allow, at most 0.9 inches."""
    return min(0.9, 10.0 / columns)

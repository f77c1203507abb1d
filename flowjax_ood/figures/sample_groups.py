"""Groups of samples in a table: flows below each other, temperatures side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import layout, style
from flowjax_ood.figures.panels import as_rgb, show
from flowjax_ood.figures.samples import mosaic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TILE = 0.6  # inches, of an image where ten inches allow it
GAP = 0.12  # inches between groups
Groups = dict[str, list[np.ndarray]]


def sample_groups(
    rows: Mapping[str, Mapping[str, np.ndarray]],
    *,
    reference: tuple[str, np.ndarray],
    notes: Mapping[str, Mapping[str, str]] | None = None,
    title: str | None = None,
    caption: str | None = None,
    columns: int = 4,
) -> Figure:
    """Draw a table of groups of images.

    Meant for samples of several flows (rows) at several temperatures (columns).

    Args:
        rows: `{row: {column: images [N, H, W, C]}}`. A row's label is its name and, in
            further lines, what else there is to say of it.
        reference: Label and images of a line of real images above them.
        notes: Small print below groups, by row and column.
        title: Above everything; by default none.
        caption: Below everything; by default none.
        columns: Images to a line of a group.

    Raises:
        ValueError: Rows differ in their columns, or images in their size.
    """
    names, groups, real = _checked(rows, reference, columns)
    notes = notes or {}
    height, width = real.shape[1:3]
    columns = min(columns, max(len(g) for row in groups.values() for g in row))
    across = columns * len(names)
    tile = min(TILE, 10.0 / across)
    tall = tile * height / width
    below = 1.8 * style.SMALL / 72 if notes else 0.0
    heights = [max(tall, layout.text_height(reference[0], style.LABEL))]
    for label, row in groups.items():
        lines = -(-max(map(len, row)) // columns)
        least = layout.text_height(label, style.LABEL)
        heights.append(max(tall * lines + below, least))
    figure = layout.new_figure(1.0, sum(heights) + GAP * len(heights) + 0.4)
    labels = 0.15 + max(
        layout.text_width(figure, line, style.LABEL, bold=k == 0)
        for label in (reference[0], *groups)
        for k, line in enumerate(label.split("\n"))
    )
    words = [note for row in notes.values() for note in row.values()]
    widths = [layout.text_width(figure, word, style.SMALL) + GAP for word in words]
    wide = max([tile * columns, *widths])
    figure.set_figwidth(labels + (wide + GAP) * len(names) + 0.3)
    layout.space(figure, hspace=0, h_pad=GAP / 2, wspace=0, w_pad=GAP / 2)
    grid = figure.add_gridspec(
        len(heights),
        1 + len(names),
        height_ratios=heights,
        width_ratios=[labels, *[wide] * len(names)],
    )
    _write_label(figure.add_subplot(grid[0, 0]), reference[0])
    top = figure.add_subplot(grid[0, 1:])
    show(top, mosaic(real[:across], across))
    top.set_anchor("W")
    for line, (label, row) in enumerate(groups.items(), start=1):
        _write_label(figure.add_subplot(grid[line, 0]), label)
        for k, (name, images) in enumerate(zip(names, row), start=1):
            axes = figure.add_subplot(grid[line, k])
            show(axes, mosaic(images, columns))
            if line == 1:
                style.title(axes, name)
            text = notes.get(label, {}).get(name, "")
            axes.set_xlabel(text, fontsize=style.SMALL, color=style.INK)
    return layout.frame(figure, title, caption=caption)


def _checked(rows, reference, columns) -> tuple[list[str], Groups, np.ndarray]:
    """Return `(columns' names, images of each row by column, reference)`, in RGB."""
    names = list(next(iter(rows.values()), {}))
    if not names:
        raise ValueError("no images to show: no rows, or rows without columns")
    for label, row in rows.items():
        if list(row) != names:
            raise ValueError(
                f"row {label!r} has the columns {list(row)}, the first row {names}: all"
                " rows need the same"
            )
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    groups = {
        label: [as_rgb(group, f"{name!r} of {label!r}") for name, group in row.items()]
        for label, row in rows.items()
    }
    real = as_rgb(reference[1], f"images of {reference[0]!r}")
    sizes = {g.shape[1:3] for row in [*groups.values(), [real]] for g in row}
    if len(sizes) > 1:
        raise ValueError(f"images of several sizes in one figure: {sorted(sizes)}")
    return names, groups, real


def _write_label(axes: Axes, label: str) -> None:
    """Write the name of a row in bold; what else its label says, below it."""
    axes.set_axis_off()
    lines = label.split("\n")
    for k, line in enumerate(lines):
        look = {"fontsize": style.LABEL, "fontweight": "normal" if k else "bold"}
        offset = (0, (len(lines) / 2 - k) * style.LINE * style.LABEL)
        style.annotate(axes, line, (1, 0.5), offset, ha="right", va="top", **look)

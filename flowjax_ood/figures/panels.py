"""What pictures made of rows of images share: row labels, maps, colour bars.

A row stands for one image and is labelled in the colour of its set; a column is one
quantity, with one colour scale for all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import style
from flowjax_ood.figures.samples import as_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage


def check_rows(rows: Sequence[tuple], panels: Sequence[Mapping]) -> None:
    """Raise unless there are rows, all with the panels of the first one."""
    if not rows or not panels[0]:
        raise ValueError("nothing to draw: no rows, or rows without panels")
    kinds: dict[str, bool] = {}
    for (label, is_id, *_), names in zip(rows, panels):
        if set(names) != set(panels[0]):
            raise ValueError(
                f"row {label!r} has the panels {list(names)}, "
                f"the first row {list(panels[0])}: all rows need the same"
            )
        if kinds.setdefault(label, is_id) != is_id:
            raise ValueError(f"{label!r} is in-distribution in one row, OOD in another")


def row_colors(rows: Sequence[tuple]) -> dict[str, str]:
    """Colour of each label of rows that start with `(label, is_id)`."""
    colors = style.set_colors("", (label for label, is_id, *_ in rows if not is_id))
    return colors | {label: style.ID_COLOR for label, is_id, *_ in rows if is_id}


def one_channel(array: np.ndarray, channel: int, what: str) -> np.ndarray:
    """Channel `channel` of a map `[H, W, C]`, as float `[H, W]`; or an error."""
    array = np.asarray(array, dtype=np.float64)
    if array.ndim != 3 or not 0 <= channel < array.shape[-1]:
        raise ValueError(
            f"{what} must have the shape [H, W, C] with a channel {channel}, "
            f"not {array.shape}"
        )
    return array[..., channel]


def colormap(name: str) -> Colormap:
    """A copy of a matplotlib colour map that draws NaN in `style.MASKED`."""
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=style.MASKED)


def show_image(axes: Axes, image: np.ndarray, what: str) -> None:
    """An image `[H, W, C]`: uint8, or float in [0, 1], C = 1 or 3."""
    axes.imshow(as_rgb(np.asarray(image)[None], what)[0], interpolation="nearest")
    _bare(axes)


def show_map(axes: Axes, values: np.ndarray, **scale) -> AxesImage:
    """A map `[H, W]` in the colour scale `cmap, vmin, vmax`."""
    drawn = axes.imshow(values, interpolation="nearest", **scale)
    _bare(axes)
    return drawn


def label_row(axes: Axes, label: str, is_id: bool, color: str, note: str = "") -> None:
    """Name a row at the left of its first panel."""
    lines = [label, "in-distribution" if is_id else "OOD", *([note] if note else [])]
    axes.set_ylabel(
        "\n".join(lines),
        rotation=0,
        ha="right",
        va="center",
        fontsize=style.LABEL,
        color=color,
        fontweight="bold",
        labelpad=8,
    )


def title_column(axes: Axes, title: str) -> None:
    """Name a column above its first panel."""
    axes.set_title(title, fontsize=style.LABEL, color=style.INK)


def color_bar(axes: Axes, drawn: AxesImage, label: str, orientation: str) -> None:
    """Fill `axes` with the colour bar of a map."""
    bar = axes.figure.colorbar(
        drawn, cax=axes, orientation=orientation, extend="both", extendfrac=0.04
    )
    bar.set_label(label, fontsize=style.SMALL, color=style.INK)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, color=style.MUTED)
    bar.outline.set_visible(False)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)

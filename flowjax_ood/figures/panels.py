"""Rows of images and maps: their checks, labels, colour scales and colour bars.

A row stands for one image and is labelled in the colour of its set; a column is one
quantity, with one colour scale for all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage


def check_rows(rows: Sequence[tuple]) -> None:
    """Raise ValueError unless all rows `(label, is_id, ..., panels)` have the same."""
    if not rows or not rows[0][-1]:
        raise ValueError("nothing to draw: no rows, or rows without panels")
    kinds: dict[str, bool] = {}
    for label, is_id, *_, panels in rows:
        if set(panels) != set(rows[0][-1]):
            raise ValueError(
                f"row {label!r} has the panels {list(panels)}, "
                f"the first row {list(rows[0][-1])}: all rows need the same"
            )
        if kinds.setdefault(label, is_id) != is_id:
            raise ValueError(f"{label!r} is in-distribution in one row, OOD in another")


def row_colors(rows: Sequence[tuple]) -> dict[str, str]:
    """Colour each label of rows that start with `(label, is_id)`."""
    colors = style.set_colors("", (label for label, is_id, *_ in rows if not is_id))
    return colors | {label: style.ID_COLOR for label, is_id, *_ in rows if is_id}


def one_channel(array: np.ndarray, channel: int, what: str) -> np.ndarray:
    """Take a channel of a map `[H, W, C]`, as float64 `[H, W]`; or raise ValueError."""
    array = np.asarray(array, dtype=np.float64)
    if array.ndim != 3 or not 0 <= channel < array.shape[-1]:
        raise ValueError(
            f"{what} must have the shape [H, W, C] with a channel {channel}, "
            f"not {array.shape}"
        )
    return array[..., channel]


def color_range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Colour scale that holds 98% of the finite values, never of no width."""
    values = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not values.size:
        return -1.0, 1.0
    low, high = (float(q) for q in np.quantile(values, [0.01, 0.99]))
    pad = 0.05 * max(1.0, abs(high)) if high - low < 1e-6 else 0.0
    return low - pad, high + pad


def color_scale(name: str, low: float, high: float) -> dict:
    """Scale for `show` in a colour map of matplotlib, NaN drawn in `style.MASKED`."""
    from matplotlib import colormaps

    cmap = colormaps[name].with_extremes(bad=style.MASKED)
    return {"cmap": cmap, "vmin": low, "vmax": high}


def signed_scale(top: float) -> dict:
    """Scale for `show` from -top, blue, over white to top, red."""
    return color_scale("RdBu_r", -top, top)


def as_rgb(images: np.ndarray, what: str) -> np.ndarray:
    """Turn images `[N, H, W, C]` into float RGB `[N, H, W, 3]` in [0, 1].

    Raises ValueError, which calls them `what`, for another shape, type or range.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.size == 0:
        raise ValueError(
            f"{what} must have the shape [N, H, W, C] with C = 1 or 3 and no axis "
            f"empty, not {images.shape}"
        )
    if images.dtype == np.uint8:
        images = images / 255.0
    elif not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            f"{what} must be uint8, or floating point in [0, 1], not {images.dtype}"
        )
    elif not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{what} run from {images.min():g} to {images.max():g}; floating point "
            "images are expected in [0, 1]"
        )
    return np.broadcast_to(images, (*images.shape[:-1], 3))


def show(axes: Axes, values: np.ndarray, **scale) -> AxesImage:
    """Show a picture `[H, W, 3]`, or a map `[H, W]` in a `color_scale`, bare."""
    shown = axes.imshow(values, interpolation="nearest", **scale)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return shown


def show_image(axes: Axes, image: np.ndarray, what: str) -> None:
    """Show an image `[H, W, C]`: uint8, or float in [0, 1], C = 1 or 3."""
    show(axes, as_rgb(np.asarray(image)[None], what)[0])


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


def color_bar(axes: Axes, drawn: AxesImage, label: str, orientation: str) -> None:
    """Fill `axes` with the colour bar of a map."""
    bar = axes.figure.colorbar(
        drawn, cax=axes, orientation=orientation, extend="both", extendfrac=0.04
    )
    bar.set_label(label, fontsize=style.SMALL, color=style.INK)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, color=style.MUTED)
    bar.outline.set_visible(False)

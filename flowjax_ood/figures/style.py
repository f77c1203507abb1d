"""One look for all figures: colours, sizes, and axis limits.

Colour says what a thing is, in every figure: the in-distribution (ID) set is blue,
out-of-distribution (OOD) sets take `OOD_COLORS` in the order in which they are
given, flows are neutral or teal and also differ by line style. The colours stay
apart under the common forms of colour blindness (after Okabe & Ito 2008 and Tol).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ID_COLOR = "#0072B2"  # blue
"""The colour of the in-distribution set."""
OOD_COLORS = ("#D55E00", "#AA4499", "#E69F00", "#661100", "#117733", "#000000")
"""The colours of OOD sets, in the order in which they are given."""
FLOW_COLORS = ("#222222", "#009E73", "#8A8A8A", "#56B4E9")
"""The colours of flows, in the order in which they are given."""
FLOW_LINES = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))

INK, MUTED, GRID = "#222222", "#5F5F5F", "#E4E4E4"
MASKED = "#D4D4D4"  # pixels that a mask hides (NaN)

DPI = 150
TITLE, LABEL, SMALL = 14, 12, 10.5  # points
LINE = 1.3  # line height, of the font size
MARGIN = 0.12  # inches


def style_axes(
    axes: Axes,
    xlabel="",
    ylabel="",
    grid: Literal["x", "y", "both"] | None = None,
) -> None:
    """Label a plot and style its ticks; only the left and bottom spines stay.

    `grid`: "x", "y" or "both" for lines at the ticks of these axes.
    """
    axes.set_xlabel(xlabel, fontsize=LABEL, color=INK)
    axes.set_ylabel(ylabel, fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, color=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=GRID, lw=0.8)


def title(axes: Axes, text: str, **look) -> None:
    """Write a title above a panel."""
    axes.set_title(text, **{"fontsize": LABEL, "color": INK, **look})


def annotate(axes: Axes, text: str, at, offset, coords="axes fraction", **look) -> None:
    """Write `text` `offset` points from `at`; by default small."""
    look = {"fontsize": SMALL, "color": INK, **look}
    where = {"xytext": offset, "xycoords": coords, "textcoords": "offset points"}
    axes.annotate(text, at, **where, **look)


def set_colors(id_name: str, ood_names: Iterable[str]) -> dict[str, str]:
    """Give every set its colour: `ID_COLOR`, then `OOD_COLORS` in the order given.

    Names may repeat. Give the sets in the same order to every figure and each keeps
    its colour.
    """
    names = [name for name in dict.fromkeys(ood_names) if name != id_name]
    if len(names) > len(OOD_COLORS):
        raise ValueError(
            f"{len(names)} OOD sets in one figure, but only {len(OOD_COLORS)} colours "
            f"can be told apart: draw {', '.join(names)} in several figures"
        )
    return {id_name: ID_COLOR, **dict(zip(names, OOD_COLORS))}


def set_label(name: str, id_name: str) -> str:
    """Name a set in a key, and which side it is on."""
    return f"{name} ({'in-distribution' if name == id_name else 'OOD'})"


def flow_style(index: int) -> dict:
    """Give the flow of number `index`, from 0, its colour and line style."""
    if index >= len(FLOW_COLORS):
        raise ValueError(
            f"more than {len(FLOW_COLORS)} flows in one figure cannot be told apart: "
            "draw several figures"
        )
    return {"color": FLOW_COLORS[index], "linestyle": FLOW_LINES[index]}


def robust_limits(
    groups: Sequence[np.ndarray], reach: float = 3.0
) -> tuple[float, float]:
    """Choose axis limits that show the bulk of every group, whatever its outliers.

    Per group: the 0.5% and 99.5% quantiles, yet never beyond `reach` interquartile
    ranges from the quartiles, so that a group with 5% of wild values (a flow with
    batch normalisation in evaluation mode) does not squash the others. Values that
    are not finite are left out. The union of the groups is padded by 4%.
    """
    lows, highs = [], []
    for group in groups:
        finite = group[np.isfinite(group)]
        if finite.size == 0:
            continue
        low, first, third, high = np.quantile(finite, [0.005, 0.25, 0.75, 0.995])
        if third > first:
            low = max(low, first - reach * (third - first))
            high = min(high, third + reach * (third - first))
        lows.append(low)
        highs.append(high)
    if not lows:
        raise ValueError("nothing to draw: not one value is finite")
    low, high = min(lows), max(highs)
    pad = 0.04 * (high - low) or 0.05 * max(1.0, abs(low))
    return float(low - pad), float(high + pad)


def outside(values: np.ndarray, limits: tuple[float, float]) -> int:
    """Count the `values` that an axis with these limits does not show, NaN included."""
    return int(values.size - np.sum((values >= limits[0]) & (values <= limits[1])))


def short_number(value: float, _position=None) -> str:
    """Write a number of a tick short: 2500 as 2.5k, -3000000 as −3M."""
    size = abs(value)
    unit, letter = (1e6, "M") if size >= 1e6 else (1e3, "k") if size >= 1e3 else (1, "")
    return f"{value / unit:g}{letter}".replace("-", "−")


def numbers(values, what: str) -> np.ndarray:
    """Turn `values` into a float64 vector `[N]`, N > 0; errors call them `what`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{what} must be a non-empty vector [N]; its shape is {array.shape}"
        )
    return array


def check_unit(unit: str) -> None:
    """Raise ValueError for another unit of likelihoods than "bits/dim" and "nats"."""
    if unit not in ("bits/dim", "nats"):
        raise ValueError(f"unknown unit {unit!r}; known: bits/dim, nats")

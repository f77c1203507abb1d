"""The frame of a figure: title, key and caption around panels that keep their size.

Figures are built from `matplotlib.figure.Figure` on an Agg canvas, without pyplot:
no display, no global state, safe in threads.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowjax_ood.figures.style import DPI, INK, LABEL, LINE, MARGIN, MUTED, SMALL, TITLE
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.paths import AnyPath, as_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Transform


def new_figure(width: float, height: float) -> Figure:
    """Make an empty white figure of `width` x `height` inches that lays itself out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    space(figure, w_pad=0.06, h_pad=0.06)
    return figure


def space(figure: Figure, **spaces) -> None:
    """Set spaces of a figure's layout: those of `ConstrainedLayoutEngine.set`."""
    engine: Any = figure.get_layout_engine()
    engine.set(**spaces)


def frame(
    figure: Figure,
    title: str | None = None,
    *,
    key: Sequence[Artist] = (),
    caption: str | None = None,
) -> Figure:
    """Write a title and a key above all panels and small print below them.

    Constrained layout would draw the three over each other, since it gives each the
    same edge of the figure. Here the figure grows by their heights instead, so that
    panels keep the size that was asked for. Call it once, when the width is final.

    Args:
        figure: what `new_figure` made, with its panels.
        title: Bold, wrapped at the width of the figure.
        key: Labelled artists, the entries of the legend, in as few rows as fit.
        caption: Wrapped at the width of the figure.

    Returns:
        The figure.
    """
    write_literally(figure)
    height = figure.get_figheight()
    top = bottom = 0.0
    if title:
        top += MARGIN + _write(figure, title, "top", TITLE, INK, bold=True)
    if key:
        # and a little more, to stand apart from the titles of panels
        top += 1.5 * MARGIN + _write_key(figure, key, top + MARGIN)
    if caption:
        bottom += MARGIN + _write(figure, caption, "bottom", SMALL, MUTED)
    whole = height + top + bottom
    figure.set_figheight(whole)
    space(figure, rect=(0, bottom / whole, 1, height / whole))
    return figure


def write_literally(artist: Artist) -> None:
    """Draw every text of `artist` as it is written: names hold `$` and no formula."""
    from matplotlib.text import Text

    for text in artist.findobj(Text):
        text.set_parse_math(False)


def line_key(looks: Mapping[str, Mapping]) -> list[Line2D]:
    """Entries of a key: `{label: properties of a Line2D}`."""
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=label, **look) for label, look in looks.items()]


def text_width(figure: Figure, text: str, size: float, bold: bool = False) -> float:
    """Measure the width of a line of text, in inches."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    canvas: Any = figure.canvas  # of Agg
    renderer = canvas.get_renderer()
    width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
    return width / figure.dpi


def text_height(lines: str, size: float) -> float:
    """Compute the height of lines of text, in inches."""
    return (lines.count("\n") + 1) * LINE * size / 72


def wrap(
    figure: Figure, text: str, inches: float, size: float, bold: bool = False
) -> str:
    """Break `text` into lines no wider than `inches`; a single word stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(figure, longer, size, bold) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """Draw the figure as a PNG file; equal figures give equal bytes.

    The size in pixels is the figure's size in inches times `dpi`. The name and
    version of the writing software are left out.
    """
    buffer = io.BytesIO()
    write_literally(figure)
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike, dpi: int = DPI) -> AnyPath:
    """Write the figure to `path` (`*.png`) in one atomic step and return the path."""
    target = as_path(path)
    if target.suffix.lower() != ".png":
        raise ValueError(f"figures are saved as PNG: {path} should end in .png")
    return write_bytes(target, png_bytes(figure, dpi))


def _from_corner(figure: Figure, dy: float) -> Transform:
    """Coordinates of the figure, moved by `dy` inches and by a margin to the right."""
    from matplotlib.transforms import ScaledTranslation

    return figure.transFigure + ScaledTranslation(MARGIN, dy, figure.dpi_scale_trans)


def _write(figure, text: str, edge: str, size: float, color: str, bold=False) -> float:
    """Write wrapped text at the top or bottom edge; return its height."""
    lines = wrap(figure, text, figure.get_figwidth() - 2 * MARGIN, size, bold)
    y, dy = (1, -MARGIN) if edge == "top" else (0, MARGIN)
    look = {"fontsize": size, "fontweight": "bold" if bold else "normal", "va": edge}
    look |= {"linespacing": LINE, "color": color}
    written = figure.text(0, y, lines, transform=_from_corner(figure, dy), **look)
    write_literally(written)
    return text_height(lines, size)


def _write_key(figure: Figure, key: Sequence[Artist], depth: float) -> float:
    """Write a legend `depth` inches below the top edge; return its height."""
    inside = (figure.get_figwidth() - 2 * MARGIN) * figure.dpi
    for columns in range(len(key), 0, -1):
        legend = figure.legend(
            handles=key,
            loc="upper left",
            bbox_to_anchor=(0, 1),
            bbox_transform=_from_corner(figure, -depth),
            ncols=columns,
            frameon=False,
            fontsize=LABEL,
            handlelength=1.3,
            borderpad=0,
            borderaxespad=0,
        )
        write_literally(legend)
        box = legend.get_window_extent()
        if columns == 1 or box.width <= inside:
            break
        legend.remove()
    return box.height / figure.dpi

"""The frame of a figure: its title, its key and its caption, measured and wrapped.

Figures are built from `matplotlib.figure.Figure` on an Agg canvas, without pyplot:
no display, no global state, safe in threads.

Constrained layout would draw a title, a key and a caption over each other, since it
gives each of them the edge of the figure. Here each makes the figure taller by its
own height instead, so that panels keep the size that was asked for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flowjax_ood.figures.style import DPI, INK, LABEL, LINE, MARGIN, MUTED, SMALL, TITLE
from flowjax_ood.runtime.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure, `width` x `height` inches, that lays itself out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    return figure


def set_title(figure: Figure, text: str) -> None:
    """A bold title above everything; the figure grows by its height."""
    lines = wrap(figure, text, figure.get_figwidth() - 2 * MARGIN, TITLE, bold=True)
    inches = _text_inches(lines, TITLE)
    _grow(figure, top=inches + MARGIN)
    _write(figure, lines, (0, 1), -MARGIN, va="top", size=TITLE, bold=True, color=INK)


def set_caption(figure: Figure, text: str) -> None:
    """Small print below everything; the figure grows by its height."""
    lines = wrap(figure, text, figure.get_figwidth() - 2 * MARGIN, SMALL)
    inches = _text_inches(lines, SMALL)
    _grow(figure, bottom=inches + MARGIN)
    _write(figure, lines, (0, 0), MARGIN, va="bottom", size=SMALL, color=MUTED)


def set_key(figure: Figure, handles: Sequence[Artist]) -> None:
    """A row of legend entries below the title; call it after `set_title`."""
    from matplotlib.transforms import ScaledTranslation

    entry = 0.55 + max(text_width(figure, h.get_label(), LABEL) for h in handles)
    columns = max(1, int((figure.get_figwidth() - MARGIN) / entry))
    used = _title_inches(figure)
    rows = -(-len(handles) // columns)
    _grow(figure, top=(rows * 1.6 + 0.5) * LABEL / 72)
    shift = ScaledTranslation(MARGIN, -used - MARGIN, figure.dpi_scale_trans)
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 1),
        bbox_transform=figure.transFigure + shift,
        ncols=min(columns, len(handles)),
        frameon=False,
        fontsize=LABEL,
        handlelength=1.3,
        borderpad=0,
        borderaxespad=0,
    )
    legend.set_in_layout(False)


def text_width(figure: Figure, text: str, size: float, bold: bool = False) -> float:
    """Width of a line of text in inches."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    renderer = figure.canvas.get_renderer()
    width, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
    return width / figure.dpi


def wrap(
    figure: Figure, text: str, inches: float, size: float, bold: bool = False
) -> str:
    """`text` with line breaks, so that no line is wider than `inches`.

    A single word that is wider stays whole.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(figure, longer, size, bold) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _grow(figure: Figure, top: float = 0.0, bottom: float = 0.0) -> None:
    """Make a figure taller, and keep the height of its content."""
    left, low, width, share = figure.get_layout_engine().get()["rect"]
    height = figure.get_figheight()
    taller = height + top + bottom
    rect = (left, (low * height + bottom) / taller, width, share * height / taller)
    figure.set_figheight(taller)
    figure.get_layout_engine().set(rect=rect)


def _title_inches(figure: Figure) -> float:
    """Height that `_grow` has reserved at the top."""
    _, low, _, share = figure.get_layout_engine().get()["rect"]
    return figure.get_figheight() * (1 - low - share)


def _write(
    figure: Figure, text: str, corner, dy: float, size: float, bold=False, **look
) -> None:
    from matplotlib.transforms import ScaledTranslation

    shift = ScaledTranslation(MARGIN, dy, figure.dpi_scale_trans)
    figure.text(
        *corner,
        text,
        transform=figure.transFigure + shift,
        fontsize=size,
        fontweight="bold" if bold else "normal",
        linespacing=LINE,
        parse_math=False,
        **look,
    )


def _text_inches(lines: str, size: float) -> float:
    return (lines.count("\n") + 1) * LINE * size / 72


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as a PNG file; equal figures give equal bytes.

    The size in pixels is the figure's size in inches times `dpi`. The name and
    version of the writing software are left out.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike, dpi: int = DPI) -> Path:
    """Write the figure to `path` (`*.png`) in one atomic step and return the path."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"figures are saved as PNG: {path} should end in .png")
    return write_bytes(path, png_bytes(figure, dpi))

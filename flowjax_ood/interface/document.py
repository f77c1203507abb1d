"""A document built once, and written as a self-contained page or as Markdown.

The page loads nothing (pictures are inside it, there are no scripts), follows the
reader's light or dark mode, prints, and is readable by a screen reader. Markdown has
the same text and tables, without the pictures.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from flowjax_ood.interface.text import inline, markdown_table
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.paths import AnyPath

PAGE, CSS = (Path(__file__).with_suffix(end).read_text() for end in (".html", ".css"))
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
HEADER = 24  # bytes of a PNG up to its size
FIGURE_DPI, CSS_DPI = 150, 96  # of `style.DPI`, and of a CSS pixel


@dataclass(frozen=True)
class Card:
    """A title, lines of text, and pictures `(bytes, caption)`, the first one large.

    Pictures are PNG or JPEG; empty bytes draw nothing. `marked` stands out.
    """

    title: str
    lines: tuple[str, ...]
    pictures: tuple[tuple[bytes, str], ...]
    marked: bool = False


class Document:
    """Built from top to bottom; the methods that add something return the document.

    All text is escaped: none of it is read as HTML. Cells and facts may be numbers
    (integers get thousands separators, floats four significant digits) or None
    (a dash); give a string to choose another form.
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title, self.subtitle = title, subtitle
        # heading, blocks of the page, blocks of the Markdown
        self._sections: list[tuple[str, list[str], list[str]]] = [("", [], [])]

    def section(self, title: str) -> Document:
        """Begin a section under a heading."""
        self._sections.append((title, [], []))
        return self

    def text(self, text: str) -> Document:
        """Add paragraphs, separated by empty lines."""
        for part in filter(None, map(str.strip, text.split("\n\n"))):
            self._add(f"<p>{escape(part)}</p>", _inline(part))
        return self

    def facts(self, values: Mapping[str, object]) -> Document:
        """Add short named values, such as the data, the sizes and the versions."""
        rows = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd></div>\n"
            for name, value in values.items()
        )
        lines = (f"* {_inline(name)}: {_inline(v)}" for name, v in values.items())
        return self._add(f"<dl>\n{rows}</dl>", "\n".join(lines))

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence],
        caption: str,
        align: str = "",
        highlight: Collection[tuple[int, int]] = (),
    ) -> Document:
        """Add a table whose first column names its rows.

        Args:
            headers: one name per column.
            rows: cells of each row, as many as there are columns.
            caption: stands above the table.
            align: one letter per column, "l", "c" or "r"; by default the first column
                is at the left, the others at the right.
            highlight: `(row, column)` of cells to set in bold on the page, from 0.
        """
        width, height = len(headers), len(rows)
        if not width:
            raise ValueError("a table needs at least one column")
        for number, row in enumerate(rows):
            if len(row) != width:
                raise ValueError(
                    f"row {number} has {len(row)} cells, the table {width} columns"
                )
        align = align or "l" + "r" * (width - 1)
        if len(align) != width or set(align) - set("lcr"):
            raise ValueError(
                f"align must be {width} letters out of l, c and r, not {align!r}"
            )
        for at, column in highlight:
            if not (0 <= at < height and 0 <= column < width):
                raise ValueError(
                    f"highlight {(at, column)} is outside a table of {height} rows "
                    f"and {width} columns"
                )
        page = _table_page(headers, rows, caption, align, highlight)
        markdown = markdown_table(
            list(map(_text, headers)), [list(map(_text, row)) for row in rows], align
        )
        return self._add(page, f"{_inline(caption)}\n\n{markdown}")

    def figure(
        self, png: str | os.PathLike | bytes, caption: str, alt: str
    ) -> Document:
        """Add a PNG, given as a path or as bytes; put inside the page, not in Markdown.

        `alt` says what the picture shows to those who cannot see it.
        """
        data = png if isinstance(png, bytes) else Path(png).read_bytes()
        if not data.startswith(PNG_SIGNATURE) or len(data) < HEADER:
            what = "the given bytes are" if isinstance(png, bytes) else f"{png} is"
            raise ValueError(f"{what} not a PNG")
        if not alt.strip():
            raise ValueError("a figure needs an alternative text (alt)")
        # IHDR, the first chunk: length, type, width, height
        size = struct.unpack(">II", data[16:24])
        width, height = (round(side * CSS_DPI / FIGURE_DPI) for side in size)
        return self._add(
            f'<figure>\n<img src="data:image/png;base64,'
            f'{base64.b64encode(data).decode()}" alt="{escape(alt)}" '
            f'width="{width}" height="{height}">\n'
            f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
        )

    def gallery(self, cards: Sequence[Card]) -> Document:
        """Add cards of small pictures side by side; on the page alone.

        Raises ValueError for a picture that is neither PNG nor JPEG.
        """
        return self._add(
            '<div class="gallery">\n' + "\n".join(map(_card, cards)) + "\n</div>"
        )

    def html(self) -> str:
        """The page."""
        subtitle = f"<p>{escape(self.subtitle)}</p>\n" if self.subtitle else ""
        blocks = []
        for title, own, _ in self._sections:
            blocks += [f"<h2>{escape(title)}</h2>"] if title else []
            blocks += own
        return PAGE.format(
            title=escape(self.title), subtitle=subtitle, css=CSS, body="\n".join(blocks)
        )

    def markdown(self) -> str:
        """The text and the tables in GitHub's Markdown; no section of mere pictures."""
        blocks = [f"# {_inline(self.title)}", _inline(self.subtitle)]
        for title, _, own in self._sections:
            blocks += [f"## {_inline(title)}"] if title and own else []
            blocks += own
        return "\n\n".join(filter(None, blocks)) + "\n"

    def write(self, path: str | os.PathLike) -> AnyPath:
        """Write the page, or with the suffix `.md` the Markdown; returns the path.

        A reader sees the whole of the old file or of the new one.
        """
        text = self.markdown() if Path(path).suffix == ".md" else self.html()
        # names of files may be no UTF-8
        return write_bytes(path, text.encode("utf-8", "backslashreplace"))

    def _add(self, html: str, markdown: str = "") -> Document:
        _, page, lines = self._sections[-1]
        page.append(html)
        if markdown:
            lines.append(markdown)
        return self


def _card(card: Card) -> str:
    figures = "".join(_picture(*picture) for picture in card.pictures)
    lines = "".join(f"<p>{escape(line)}</p>" for line in card.lines)
    kind = "card marked" if card.marked else "card"
    return (
        f'<section class="{kind}">\n<h3>{escape(card.title)}</h3>\n'
        f'<div class="pictures">{figures}</div>\n{lines}\n</section>'
    )


def _picture(data: bytes, caption: str) -> str:
    said = escape(caption)
    if not data:
        return f"<figure><figcaption>{said}</figcaption></figure>"
    known = {PNG_SIGNATURE: "png", JPEG_SIGNATURE: "jpeg"}
    kind = next((k for start, k in known.items() if data.startswith(start)), None)
    if kind is None:
        raise ValueError(f"the picture of {caption!r} is neither PNG nor JPEG")
    text = base64.b64encode(data).decode()
    return (
        f'<figure><img src="data:image/{kind};base64,{text}" alt="{said}">'
        f"<figcaption>{said}</figcaption></figure>"
    )


def _table_page(headers, rows, caption: str, align: str, highlight) -> str:
    caption = escape(caption)
    head = "".join(
        f'<th scope="col" class="{side}">{escape(name)}</th>'
        for side, name in zip(align, headers)
    )
    lines = []
    for number, row in enumerate(rows):
        cells = [escape(_text(cell)) for cell in row]
        for column in range(len(cells)):
            if (number, column) in highlight:
                cells[column] = f"<strong>{cells[column]}</strong>"
        first, *others = zip(align, cells)
        line = '<th scope="row" class="{}">{}</th>'.format(*first)
        line += "".join(f'<td class="{side}">{cell}</td>' for side, cell in others)
        lines.append(f"<tr>{line}</tr>\n")
    # a wide table scrolls inside its own box, which the keyboard can reach
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">\n'
        f"<table>\n<caption>{caption}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>\n"
        "</table>\n</div>"
    )


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if hasattr(value, "dtype"):  # a scalar of numpy or JAX
        value = value.item()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _inline(value: object) -> str:
    return inline(_text(value))

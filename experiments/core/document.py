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
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from experiments.core.text import markdown_table
from flowjax_ood.runtime.files import write_bytes

CSS = Path(__file__).with_suffix(".css").read_text()
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FIGURE_DPI, CSS_DPI = 150, 96  # of `style.DPI`, and of a CSS pixel

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{subtitle}</header>
<main>
{body}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Paragraph:
    text: str

    def html(self) -> str:
        return f"<p>{escape(self.text)}</p>"

    def markdown(self) -> str:
        return _inline(self.text)


@dataclass(frozen=True)
class Facts:
    """Short named values, such as the data, the sizes and the versions."""

    values: Mapping[str, object]

    def html(self) -> str:
        rows = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd></div>\n"
            for name, value in self.values.items()
        )
        return f"<dl>\n{rows}</dl>"

    def markdown(self) -> str:
        return "\n".join(
            f"* {_inline(name)}: {_inline(value)}"
            for name, value in self.values.items()
        )


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows; see `Document.table`."""

    headers: Sequence[str]
    rows: Sequence[Sequence]
    caption: str
    align: str = ""
    highlight: Collection[tuple[int, int]] = ()

    def __post_init__(self):
        width, height = len(self.headers), len(self.rows)
        if not width:
            raise ValueError("a table needs at least one column")
        for number, row in enumerate(self.rows):
            if len(row) != width:
                raise ValueError(
                    f"row {number} has {len(row)} cells, the table {width} columns"
                )
        align = self.align or "l" + "r" * (width - 1)
        if len(align) != width or set(align) - set("lcr"):
            raise ValueError(
                f"align must be {width} letters out of l, c and r, not {align!r}"
            )
        object.__setattr__(self, "align", align)
        for row, column in self.highlight:
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(
                    f"highlight {(row, column)} is outside a table of {height} rows "
                    f"and {width} columns"
                )

    def html(self) -> str:
        caption = escape(self.caption)
        head = "".join(
            f'<th scope="col" class="{side}">{escape(name)}</th>'
            for side, name in zip(self.align, self.headers)
        )
        body = "\n".join(
            f"<tr>{''.join(self._cell(r, c) for c in range(len(self.headers)))}</tr>"
            for r in range(len(self.rows))
        )
        # a wide table scrolls inside its own box, which the keyboard can reach
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">\n'
            f"<table>\n<caption>{caption}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
            "</table>\n</div>"
        )

    def _cell(self, row: int, column: int) -> str:
        text, side = escape(_text(self.rows[row][column])), self.align[column]
        if (row, column) in self.highlight:
            text = f"<strong>{text}</strong>"
        if column == 0:
            return f'<th scope="row" class="{side}">{text}</th>'
        return f'<td class="{side}">{text}</td>'

    def markdown(self) -> str:
        rows = [list(map(_inline, row)) for row in self.rows]
        table = markdown_table(list(map(_inline, self.headers)), rows, self.align)
        return f"{_inline(self.caption)}\n\n{table}"


@dataclass(frozen=True)
class Figure:
    """A PNG; `alt` describes it to those who cannot see it. Not in Markdown."""

    png: bytes
    caption: str
    alt: str

    def __post_init__(self):
        if not self.alt.strip():
            raise ValueError("a figure needs an alternative text (alt)")

    def html(self) -> str:
        # IHDR, the first chunk: length, type, width, height
        width, height = struct.unpack(">II", self.png[16:24])
        scale = CSS_DPI / FIGURE_DPI
        return (
            f'<figure>\n<img src="data:image/png;base64,'
            f'{base64.b64encode(self.png).decode()}" alt="{escape(self.alt)}" '
            f'width="{round(width * scale)}" height="{round(height * scale)}">\n'
            f"<figcaption>{escape(self.caption)}</figcaption>\n</figure>"
        )

    def markdown(self) -> str:
        return ""


@dataclass
class Section:
    """A heading and what stands under it; the first of a document has none."""

    title: str
    blocks: list[Paragraph | Facts | Table | Figure] = field(default_factory=list)

    def html(self) -> str:
        heading = [f"<h2>{escape(self.title)}</h2>"] if self.title else []
        return "\n".join([*heading, *(block.html() for block in self.blocks)])

    def markdown(self) -> str:
        """Empty where there is nothing but pictures."""
        blocks = "\n\n".join(filter(None, (block.markdown() for block in self.blocks)))
        heading = f"## {_inline(self.title)}\n\n" if self.title else ""
        return heading + blocks if blocks else ""


class Document:
    """Built from top to bottom; the methods that add something return the document.

    All text is escaped: none of it is read as HTML. Cells and facts may be numbers
    (integers get thousands separators, floats four significant digits) or None
    (a dash); give a string to choose another form.
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title, self.subtitle = title, subtitle
        self.sections = [Section("")]

    def section(self, title: str) -> Document:
        """Begin a section under a heading."""
        self.sections.append(Section(title))
        return self

    def text(self, text: str) -> Document:
        """Add paragraphs, separated by empty lines."""
        return self._add(
            *(Paragraph(part.strip()) for part in text.split("\n\n") if part.strip())
        )

    def facts(self, values: Mapping[str, object]) -> Document:
        """Add short named values."""
        return self._add(Facts(values))

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
        return self._add(Table(headers, rows, caption, align, highlight))

    def figure(
        self, png: str | os.PathLike | bytes, caption: str, alt: str
    ) -> Document:
        """Add a PNG, given as a path or as bytes, put inside the page.

        `alt` says what the picture shows to those who cannot see it.
        """
        data = png if isinstance(png, bytes) else Path(png).read_bytes()
        if not data.startswith(PNG_SIGNATURE):
            what = "the given bytes are" if isinstance(png, bytes) else f"{png} is"
            raise ValueError(f"{what} not a PNG")
        return self._add(Figure(data, caption, alt))

    def html(self) -> str:
        """The page."""
        subtitle = f"<p>{escape(self.subtitle)}</p>\n" if self.subtitle else ""
        body = "\n".join(section.html() for section in self.sections)
        return PAGE.format(
            title=escape(self.title), subtitle=subtitle, css=CSS, body=body
        )

    def markdown(self) -> str:
        """The text and the tables, in GitHub's Markdown."""
        parts = [f"# {_inline(self.title)}", _inline(self.subtitle)]
        parts += (section.markdown() for section in self.sections)
        return "\n\n".join(filter(None, parts)) + "\n"

    def write(self, path: str | os.PathLike) -> Path:
        """Write the page, or with the suffix `.md` the Markdown; returns the path.

        A reader sees the whole of the old file or of the new one.
        """
        text = self.markdown() if Path(path).suffix == ".md" else self.html()
        return write_bytes(path, text.encode())

    def _add(self, *blocks: Paragraph | Facts | Table | Figure) -> Document:
        self.sections[-1].blocks += blocks
        return self


def _text(value: object) -> str:
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
    """One line of Markdown in which nothing is read as HTML."""
    text = _text(value).replace("\\", "\\\\")
    return escape(" ".join(text.split()), quote=False)

"""A run as one page: self-contained HTML, and tables in Markdown.

The page loads nothing (pictures are inside it, there are no scripts), follows the
reader's light or dark mode, prints, and is readable by a screen reader.
"""

from __future__ import annotations

import base64
import html
import os
import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from flowjax_ood.runtime.files import write_bytes

CSS = """
:root { --ink: #1d2126; --muted: #5b6470; --paper: #fff; --card: #f5f7f9;
  --line: #d9dfe5; --accent: #0b62a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e9ee; --muted: #a3adb8; --paper: #14181c; --card: #1e242a;
    --line: #37404a; --accent: #7fc0f5; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 960px;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.25; letter-spacing: -0.01em; }
header { margin-bottom: 2rem; padding-bottom: 1.25rem;
  border-bottom: 3px solid var(--accent); }
header p { margin: 0.5rem 0 0; max-width: none;
  font-size: 1.1rem; color: var(--muted); }
h2 { margin: 2.75rem 0 0.75rem; font-size: 1.35rem; line-height: 1.3; }
p { margin: 0 0 1rem; max-width: 46rem; }
dl { display: grid; gap: 0.9rem 1.5rem; margin: 1.25rem 0; padding: 1.1rem 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  background: var(--card); border-radius: 8px; }
dt { font-size: 0.85rem; color: var(--muted); }
dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { margin: 1.5rem 0; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 0.95rem;
  font-variant-numeric: tabular-nums; }
caption { padding-bottom: 0.6rem; text-align: left; color: var(--muted); }
th, td { padding: 0.5rem 0.75rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
tbody th { font-weight: 400; }
strong { font-weight: 700; color: var(--accent); }
.l { text-align: left; } .c { text-align: center; } .r { text-align: right; }
td.r { white-space: nowrap; }
figure { margin: 1.75rem 0; }
figure img { display: block; max-width: calc(100% - 1.5rem - 2px); height: auto;
  padding: 0.75rem; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; box-sizing: content-box; }
figcaption { margin-top: 0.6rem; font-size: 0.92rem; color: var(--muted); }
@media print {
  :root { --ink: #000; --muted: #444; --paper: #fff; --card: #f5f7f9;
    --line: #bbb; --accent: #0b62a4; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, table, dl { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; } }
"""

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
<style>{css}</style>
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


class Report:
    """A page built from top to bottom; every method but `write` returns the report.

    All text is escaped: none of it is read as HTML. Cells and facts may be numbers
    (integers get thousands separators, floats four significant digits) or None
    (a dash); give a string to choose another form.
    """

    def __init__(self, title: str, subtitle: str = ""):
        self.title, self.subtitle = title, subtitle
        self._parts: list[str] = []

    def section(self, title: str) -> Report:
        """A heading."""
        return self._add(f"<h2>{html.escape(title)}</h2>")

    def text(self, text: str) -> Report:
        """Paragraphs, parted by empty lines."""
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                self._add(f"<p>{html.escape(paragraph.strip())}</p>")
        return self

    def facts(self, facts: Mapping[str, object]) -> Report:
        """Short named values, such as the data, the sizes and the versions."""
        rows = "".join(
            f"<div><dt>{html.escape(name)}</dt><dd>{_cell(value)}</dd></div>\n"
            for name, value in facts.items()
        )
        return self._add(f"<dl>\n{rows}</dl>")

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence],
        caption: str,
        align: str | None = None,
        highlight: Collection[tuple[int, int]] = (),
    ) -> Report:
        """A table whose first column names its rows.

        Args:
          align: a letter a column, "l", "c" or "r"; by default the first column is
            at the left, the others at the right.
          highlight: `(row, column)` of cells to set in bold, both from 0.
        """
        align = _checked_table(headers, rows, align)
        for row, column in highlight:
            if not (0 <= row < len(rows) and 0 <= column < len(headers)):
                raise ValueError(
                    f"highlight {(row, column)} is outside a table of {len(rows)} "
                    f"rows and {len(headers)} columns"
                )

        def cell(row: int, column: int, value: object) -> str:
            text = _cell(value)
            if (row, column) in highlight:
                text = f"<strong>{text}</strong>"
            if column == 0:
                return f'<th scope="row" class="{align[0]}">{text}</th>'
            return f'<td class="{align[column]}">{text}</td>'

        head = "".join(
            f'<th scope="col" class="{a}">{html.escape(name)}</th>'
            for a, name in zip(align, headers)
        )
        body = "\n".join(
            f"<tr>{''.join(cell(r, c, value) for c, value in enumerate(row))}</tr>"
            for r, row in enumerate(rows)
        )
        # A wide table scrolls inside its own box, which the keyboard can reach.
        return self._add(
            '<div class="scroll" role="region" tabindex="0" '
            f'aria-label="{html.escape(caption)}">\n'
            f"<table>\n<caption>{html.escape(caption)}</caption>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
            "</table>\n</div>"
        )

    def figure(self, png: str | os.PathLike | bytes, caption: str, alt: str) -> Report:
        """A PNG, given as a path or as bytes, put inside the page.

        `alt` says what the picture shows to those who cannot see it.
        """
        data = png if isinstance(png, bytes) else Path(png).read_bytes()
        if not data.startswith(PNG_SIGNATURE):
            what = "the given bytes are" if isinstance(png, bytes) else f"{png} is"
            raise ValueError(f"{what} not a PNG")
        if not alt.strip():
            raise ValueError("a figure needs an alternative text (alt)")
        # IHDR, the first chunk: length, type, width, height.
        width, height = struct.unpack(">II", data[16:24])
        scale = CSS_DPI / FIGURE_DPI
        return self._add(
            f'<figure>\n<img src="data:image/png;base64,'
            f'{base64.b64encode(data).decode()}" alt="{html.escape(alt)}" '
            f'width="{round(width * scale)}" height="{round(height * scale)}">\n'
            f"<figcaption>{html.escape(caption)}</figcaption>\n</figure>"
        )

    def html(self) -> str:
        """The page."""
        subtitle = f"<p>{html.escape(self.subtitle)}</p>\n" if self.subtitle else ""
        return PAGE.format(
            title=html.escape(self.title),
            subtitle=subtitle,
            css=CSS,
            body="\n".join(self._parts),
        )

    def write(self, path: str | os.PathLike) -> Path:
        """Write the page in one atomic step and return its path."""
        return write_bytes(path, self.html().encode("utf-8"))

    def _add(self, part: str) -> Report:
        self._parts.append(part)
        return self


def markdown_table(
    headers: Sequence[str], rows: Sequence[Sequence], align: str | None = None
) -> str:
    """The same table in (GitHub's) Markdown; arguments as in `Report.table`."""
    align = _checked_table(headers, rows, align)
    rules = {"l": ":---", "c": ":---:", "r": "---:"}

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def escape(value: object) -> str:
        text = _text(value).replace("\\", "\\\\").replace("|", "\\|")
        return html.escape(" ".join(text.split()), quote=False)

    return "\n".join(
        [
            line([escape(name) for name in headers]),
            line([rules[a] for a in align]),
            *(line([escape(value) for value in row]) for row in rows),
        ]
    )


def _checked_table(
    headers: Sequence[str], rows: Sequence[Sequence], align: str | None
) -> str:
    """The alignment of each column, after a look at the table's shape."""
    if not headers:
        raise ValueError("a table needs at least one column")
    for number, row in enumerate(rows):
        if len(row) != len(headers):
            raise ValueError(
                f"row {number} has {len(row)} cells, the table {len(headers)} columns"
            )
    if align is None:
        return "l" + "r" * (len(headers) - 1)
    if len(align) != len(headers) or set(align) - set("lcr"):
        raise ValueError(
            f"align must be {len(headers)} letters out of l, c and r, not {align!r}"
        )
    return align


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


def _cell(value: object) -> str:
    return html.escape(_text(value))

"""A script in cells (jupytext's percent form) as a page of Markdown.

The pages of examples are made of `examples/*.py` when the site is built: there is no
copy that could grow old.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
MARK = re.compile(r"^# %%(?P<markdown> \[markdown\])?$", re.M)
# from examples/ to the manual, which the site has at its root, and to other files
LINK = re.compile(r"\]\(\.\./(?P<path>(?P<manual>docs/)?[^)\s]+)\)")


class Cell(NamedTuple):
    """One cell: `text` is Markdown without its `# `, or code."""

    markdown: bool
    text: str


def cells(source: str) -> list[Cell]:
    """The cells of a script, in order; what is before the first is jupytext's."""
    marks = list(MARK.finditer(source))
    ends = [mark.start() for mark in marks[1:]] + [len(source)]
    found = []
    for mark, end in zip(marks, ends, strict=True):
        text, markdown = source[mark.end() : end].strip("\n"), bool(mark["markdown"])
        if markdown:
            text = re.sub(r"^# ?", "", text, flags=re.M)
        found.append(Cell(markdown, text))
    return found


def page(script: Path) -> str:
    """The page of an example, as if it lay in `docs/examples/`.

    Raises ValueError for a script that does not begin with a title.
    """
    first, *others = cells(script.read_text())
    title, _, rest = first.text.partition("\n")
    if not first.markdown or not title.startswith("# "):
        raise ValueError(f"{script}: the first cell must be Markdown, with a title")
    name = f"examples/{script.name}"
    source = f"*The script [`{name}`](../repository/{name}), cell by cell.*"
    parts = [title, source, moved(rest.strip("\n"))]
    for cell in others:
        fenced = f"```python\n{cell.text}\n```"
        parts.append(moved(cell.text) if cell.markdown else fenced)
    return "\n\n".join(parts) + "\n"


def moved(text: str) -> str:
    """Links of a script in `examples/`, as a page in `docs/examples/` has them."""

    def turned(link: re.Match) -> str:
        path = link["path"]
        back = path.removeprefix("docs/") if link["manual"] else f"../{path}"
        return f"](../{back})"

    return LINK.sub(turned, text)

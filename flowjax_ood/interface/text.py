"""Numbers, times, names and tables as text: the only formatter of the commands."""

import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from flowjax_ood.runtime.messages import printable

BARS = "▁▂▃▄▅▆▇█"
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
NARROWEST = 20  # columns of text; fewer are of no terminal (COLUMNS=0, say)
MISSING, NOT_FINITE = "-", "not finite"


# --- times and sizes ---------------------------------------------------------------


def duration(seconds: float | None) -> str:
    """`12 s`, `3 min`, `2 h 13 min`, `16 h`, `4 d 6 h`, `12 d`; `?` for None."""
    if seconds is None:
        return "?"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 99.5:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 10:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    if hours < 48:
        return f"{hours} h"
    if hours < 240:
        return f"{hours // 24} d {hours % 24} h"
    return f"{round(hours / 24)} d"


def age(seconds: float) -> str:
    """`12 s ago`, `33 min ago`, `2 h ago`, `4 d ago`."""
    return " ".join(duration(seconds).split()[:2]) + " ago"


def size(count: float) -> str:
    """`43 MB`, `1.2 GB`: two digits, units of 1000."""
    unit = 0
    while count >= 999.5 and unit < len(UNITS) - 1:
        count, unit = count / 1000, unit + 1
    digits = 1 if unit and count < 9.95 else 0
    return f"{count:.{digits}f} {UNITS[unit]}"


# --- numbers -----------------------------------------------------------------------


def steps(count: int | None) -> str:
    """`12,400`; `?` for None."""
    return "?" if count is None else f"{count:,}"


def percent(fraction: float | None) -> str:
    """`25 %`, rounded down: 100 means done; 0, nothing done; empty for None."""
    if fraction is None:
        return ""
    if 0 < fraction < 0.01:
        return "<1 %"
    return f"{math.floor(100 * fraction)} %"


def number(value: float | None) -> str:
    """Three significant digits, or all of those before the point."""
    if value is None:
        return MISSING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def number_range(low: float | None, high: float | None, text=number) -> str:
    """`12.3-45.6`, each as `text` has it."""
    return MISSING if low is None else f"{text(low)}-{text(high)}"


def decimals(value: float | None, digits: int = 3, missing: str = NOT_FINITE) -> str:
    """A fixed number of decimals; None is the mean of a set with infinite values."""
    return missing if value is None else f"{value:.{digits}f}"


def interval(value: float, low: float, high: float) -> str:
    """`0.123 [0.100, 0.150]`: a value and its confidence interval."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def share(value: float | None) -> str:
    """`12.3%` of 0.123."""
    return MISSING if value is None else f"{value:.1%}"


def plus_minus(mean: float | None, std: float | None = None, digits: int = 3) -> str:
    """`1.234 ± 0.005`; the mean alone without a deviation."""
    if mean is None:
        return NOT_FINITE
    text = f"{mean:,.{digits}f}"
    return text if std is None else f"{text} ± {std:,.{digits}f}"


def sparkline(values: list[float]) -> str:
    """One bar per value, from the lowest to the highest.

    Values far above the others, such as the first losses of a run, are cut off: half of
    the bars show the lower half of the values.
    """
    if len(values) < 2:
        return ""
    ordered = sorted(values)
    low, middle = ordered[0], ordered[len(ordered) // 2]
    high = min(ordered[-1], middle + 2 * (middle - low)) or ordered[-1]
    if high <= low:
        high = ordered[-1]
    if high <= low:
        return BARS[0] * len(values)
    top = len(BARS) - 1
    heights = [round(top * (min(v, high) - low) / (high - low)) for v in values]
    return "".join(BARS[height] for height in heights)


# --- names of runs -----------------------------------------------------------------


def run_name(workdir: Path) -> str:
    """The name of a run in tables and figures; `.` has a name too."""
    return workdir.resolve().name


def run_names(workdirs: Iterable[Path]) -> dict[Path, str]:
    """The shortest ends of the paths that tell them apart."""
    paths = {w: w.resolve().parts for w in workdirs}
    for length in range(1, 1 + max(map(len, paths.values()), default=0)):
        names = {w: "/".join(parts[-length:]) for w, parts in paths.items()}
        if len(set(names.values())) == len(names):
            return names
    return {w: str(w) for w in paths}


# --- tables ------------------------------------------------------------------------


def inline(text: str) -> str:
    """One line of Markdown, nothing of which is read as HTML or moves a terminal."""
    line = printable(" ".join(text.split())).replace("\\", "\\\\")
    return html.escape(line, quote=False)


def markdown_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], align: str | int = 1
) -> str:
    """A Markdown table, whose cells are text: none is read as HTML.

    `align`: how many columns hold words, the others numbers; or one letter per column,
    "l", "c" or "r".
    """
    if isinstance(align, int):
        align = "l" * align + "r" * (len(headers) - align)
    rule = [{"l": "---", "c": ":---:", "r": "---:"}[side] for side in align]
    cells = (
        [inline(cell).replace("|", "\\|") for cell in row] for row in (headers, *rows)
    )
    head, *lines = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join([head, f"| {' | '.join(rule)} |", *lines])


def terminal_width() -> int:
    """Columns of the terminal; 80 where what it says is too few to print in."""
    from rich.console import Console

    width = Console().width
    return width if width >= NARROWEST else 80


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str] | None],
    *,
    title: str = "",
    left: int = 1,
    width: int = 0,
) -> None:
    """Print a table on the terminal.

    Args:
        headers: names of the columns.
        rows: cells of each row; None draws a line.
        title: printed above the table.
        left: how many columns hold words, at the left; the others hold numbers.
        width: columns of text to use at least, where the output is narrower.
    """
    from rich import markup
    from rich.console import Console
    from rich.table import Table

    def escape(cell: str) -> str:
        return markup.escape(printable(cell))

    table = Table(title=escape(title))
    for column, name in enumerate(headers):
        table.add_column(escape(name), justify="left" if column < left else "right")
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*map(escape, row))
    Console(width=max(width, terminal_width())).print(table)

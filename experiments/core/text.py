"""Numbers of `status` in words: durations, sizes, steps, and lines of small bars."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

BARS = "▁▂▃▄▅▆▇█"
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


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


def steps(count: int | None) -> str:
    """`12,400`; `?` where it is not known."""
    return "?" if count is None else f"{count:,}"


def percent(fraction: float | None) -> str:
    """`25 %`: 100 only of what is done, 0 only of nothing."""
    if fraction is None:
        return ""
    if 0 < fraction < 0.01:
        return "<1 %"
    return f"{math.floor(100 * fraction)} %"


def rate(per_second: float) -> str:
    """Three digits: `4.72`, `302`, `0.0512`."""
    if per_second >= 100:
        return f"{per_second:,.0f}"
    return f"{per_second:.3g}"


def change(metric: dict) -> str:
    """`↓ 0.021`; `→` where it is within its noise, nothing where it is not known."""
    if metric["change"] is None:
        return ""
    if not metric["clear"]:
        return "→"
    return f"{'↓' if metric['change'] < 0 else '↑'} {abs(metric['change']):.2g}"


def sparkline(values: list[float]) -> str:
    """A bar a value, from the lowest to the highest.

    Values far above the others, as a loss begins, are cut: half of the bars are for the
    lower half of the values.
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
    places = [round(top * (min(v, high) - low) / (high - low)) for v in values]
    return "".join(BARS[place] for place in places)


MISSING = "-"


def markdown_lines(
    header: Sequence[str], cells: Sequence[Sequence[str]], left: int
) -> list[str]:
    """Lines of a Markdown table: the first `left` columns are words, others numbers."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return ["| " + " | ".join(line) + " |" for line in (header, rule, *cells)]


def number(value: float | None) -> str:
    """Three significant digits, or all of those before the point."""
    if value is None:
        return MISSING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def decimals(value: float | None) -> str:
    """Three decimals; None is the mean of a set with infinite values."""
    return "not finite" if value is None else f"{value:.3f}"


def run_names(workdirs: Iterable[Path]) -> dict[Path, str]:
    """The shortest ends of the paths that tell them apart."""
    paths = {w: w.resolve().parts for w in workdirs}
    for length in range(1, 1 + max(map(len, paths.values()), default=0)):
        names = {w: "/".join(parts[-length:]) for w, parts in paths.items()}
        if len(set(names.values())) == len(names):
            return names
    return {w: str(w) for w in paths}

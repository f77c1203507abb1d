"""Figures of a command: drawn after its numbers are written, which they cannot lose.

What a figure shows comes from users and from data, and what draws it may refuse it or
run out of memory. Hours of work are in the numbers, and a picture can be made anew.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from flowjax_ood import figures
from flowjax_ood.figures.style import OOD_COLORS
from flowjax_ood.runtime.messages import first_line, warn

T = TypeVar("T")


def draw(path: Path, figure: Callable) -> bool:
    """Save the figure that `figure()` makes as `path`; return whether that worked.

    A list of figures is saved as `NAME_1.png` and so on. What cannot be drawn is a
    warning, and an older picture of that name, which would be of other numbers, is
    removed. OSError is raised: the disk is the user's to mend.
    """
    try:
        drawn = figure()
        pages = {path: drawn}
        if isinstance(drawn, list):
            numbered = enumerate(drawn, 1)
            pages = {path.with_stem(f"{path.stem}_{n}"): page for n, page in numbered}
        for file, page in pages.items():
            figures.save(page, file)
    except OSError:
        raise
    except Exception as error:
        path.unlink(missing_ok=True)
        warn(
            f"{path} cannot be drawn ({type(error).__name__}: {first_line(error)}); "
            "all numbers are written"
        )
        return False
    return True


def told_apart(sets: Mapping[str, T], id_name: str, where: Path) -> dict[str, T]:
    """Leave out the OOD sets for which a figure has no more colours, with a warning.

    Args:
        sets: `{set: what is drawn of it}`.
        id_name: the in-distribution set, which stays.
        where: the figure, or the folder of several, for the warning.
    """
    ood = [name for name in sets if name != id_name]
    left_out = ood[len(OOD_COLORS) :]
    if left_out:
        warn(
            f"{where} shows the first {len(OOD_COLORS)} of {len(ood)} OOD sets, as no "
            f"more colours can be told apart; without {', '.join(left_out)}"
        )
    return {name: drawn for name, drawn in sets.items() if name not in left_out}

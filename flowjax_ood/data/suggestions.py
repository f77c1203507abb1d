"""The error for a name that is not there: what there is, and how to get the rest."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(
    kind: str, value: str, known: Iterable[str], remedy: str = ""
) -> ValueError:
    """`ValueError` naming `value`, its close matches, all of `known`, and a remedy.

    `kind` says what it is not, with the article: `"a split of 'mnist'"`.
    """
    known = sorted(known)
    parts = [f"{value!r} is not {kind}"]
    close = get_close_matches(value, known, n=3, cutoff=0.6)
    if close:
        parts.append(f"did you mean {' or '.join(map(repr, close))}?")
    parts.append(f"there is: {', '.join(known) or 'nothing'}")
    if remedy:
        parts.append(remedy)
    return ValueError("; ".join(parts))

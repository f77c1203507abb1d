"""The error for a name that is not there: what there is, and how to get the rest."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


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


# what Linux says of the machine; elsewhere nothing is known and nothing refused
MEMINFO = Path("/proc/meminfo")


def check_memory(shape: Sequence[int], what: str) -> None:
    """Raise `ValueError` if uint8 images of `shape` exceed the memory available.

    Sets are held in memory as uint8: ImageNet 64x64 takes 15.7 GB. Without this, a
    machine too small would stop the process hours later, without a word.
    """
    needed, available = math.prod(shape), _available()
    if available is not None and needed > available:
        raise ValueError(
            f"{what}: {shape[0]:,} images take {needed / 1e9:.1f} GB of memory, and "
            f"{available / 1e9:.1f} GB are available; take fewer with limit=, or use a "
            "machine with more"
        )


def _available() -> int | None:
    """Bytes that can be allocated without swapping, where that is known."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None

"""Checks of arguments that many functions of `data` share, and their errors."""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from flowjax_ood.runtime.paths import is_url

# Linux's account of the machine; elsewhere nothing is known and nothing refused
MEMINFO = Path("/proc/meminfo")
# sources that read buckets; TensorFlow Datasets has its own way to them
_OF_BUCKETS = ("idx", "npz", "tfds")


def check_storage(source: str, path: object) -> None:
    """Raise ValueError for the URL of a bucket, given to a source that reads none."""
    if is_url(path) and source not in _OF_BUCKETS:
        raise ValueError(
            f"source {source!r} reads no bucket, got path={str(path)!r}; copy it to a "
            f"disk, or use source {' or '.join(map(repr, _OF_BUCKETS))}"
        )


def unknown(
    kind: str, value: str, known: Iterable[str], remedy: str = ""
) -> ValueError:
    """Make a `ValueError` of `value`, its close matches, all of `known`, and a remedy.

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


def check_memory(shape: Sequence[int], what: str, itemsize: int = 1) -> None:
    """Raise `ValueError` if images of `shape` exceed the memory available.

    `itemsize`: bytes of a value. Sets are held in memory as they are stored: ImageNet
    64x64 takes 15.7 GB. Without this, a machine too small would stop the process hours
    later, without a word.
    """
    remedy = "take fewer with limit=, or use a machine with more"
    check_bytes(
        itemsize * math.prod(shape), f"{what}: {shape[0]:,} images take", remedy
    )


def check_bytes(needed: int, what_takes: str, remedy: str) -> None:
    """Raise `ValueError` if `needed` bytes exceed the memory available, where known."""
    text = MEMINFO.read_text() if MEMINFO.exists() else ""
    known = re.search(r"MemAvailable: *(\d+) kB", text)
    if known and needed > (available := 1024 * int(known[1])):
        raise ValueError(
            f"{what_takes} {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} "
            f"GB are available; {remedy}"
        )


def number_to_take(limit: int | None, count: int, what: str, kind: str) -> int:
    """Return `limit`, or `count` if it is None; ValueError for more than there are.

    Fewer would falsify results silently. `what` names the set, `kind` the things
    counted.
    """
    number = count if limit is None else limit
    if not 1 <= number <= count:
        raise ValueError(
            f"{what} holds {count} {kind}, so the first {number} cannot be taken; ask "
            f"for 1 to {count}, or for no limit"
        )
    return number


def among(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which rows `[N, ...]` are, byte for byte, among those known: booleans `[N]`.

    Both of one dtype. Rows are told apart by 16 bytes of their BLAKE2b.
    """
    seen = set(row_digests(known))
    return np.array([digest in seen for digest in row_digests(rows)], bool)


def row_digests(rows: np.ndarray) -> Iterator[bytes]:
    """16 bytes for the bytes of each row `[N, ...]`."""
    for row in np.ascontiguousarray(rows):
        yield hashlib.blake2b(row.tobytes(), digest_size=16).digest()

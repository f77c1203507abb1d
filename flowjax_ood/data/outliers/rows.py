"""Which kind of pseudo-outlier each row becomes, of images and of tokens alike."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.random import Streams


def chosen_kinds(
    kinds: Sequence[str] | None, known: Collection[str]
) -> tuple[str, ...]:
    """`kinds`, or all that are known if None.

    Raises `ValueError` for one that is not known, for one named twice, and for none.
    """
    found = tuple(known) if kinds is None else tuple(kinds)
    for name in found:
        if name not in known:
            raise unknown("a kind of pseudo-outlier", str(name), known)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"kinds must be distinct and at least one, not {found}")
    return found


def kinds_of_rows(
    rows: Iterable[int] | None, count: int, kinds: int, seed: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """`(rows, kind)`: the rows asked for, and the kind of each.

    Args:
        rows: of 0 to `count - 1`; all of them if None.
        kinds: how many there are.
        seed: kinds follow from (seed, what, row, kinds) alone.
        what: what the random numbers are for, as `Streams` has it.

    Returns integers `[N]`, and int32 `[N]` in 0 ... `kinds - 1`: each run of `kinds`
    rows, from row 0, has every kind once, in an order of its own. Raises `ValueError`
    for other rows.
    """
    found = np.arange(count) if rows is None else np.asarray(list(rows), int)
    if found.size and not 0 <= found.min() <= found.max() < count:
        raise ValueError(
            f"rows must be from 0 to {count - 1}, not {found.min()} to {found.max()}"
        )
    runs, which = np.unique(found // kinds, return_inverse=True)
    numbers = Streams(seed, what, runs).uniform(kinds)
    order = np.argsort(numbers, axis=1, kind="stable")
    return found, order[which, found % kinds].astype(np.int32)

"""Choose which kind of pseudo-outlier each row becomes, of images and tokens alike."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.random import Streams


def chosen_kinds(
    kinds: Sequence[str] | None, known: Collection[str]
) -> tuple[str, ...]:
    """Return `kinds`, or all that are known if None.

    Raises `ValueError` for one that is not known, for one named twice, and for none.
    """
    chosen = tuple(known) if kinds is None else tuple(kinds)
    for name in chosen:
        if name not in known:
            raise unknown("a kind of pseudo-outlier", str(name), known)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"kinds must be distinct and at least one, not {chosen}")
    return chosen


def kinds_of_rows(
    rows: Iterable[int] | None, count: int, kinds: int, seed: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return `(rows, kind)`: the rows asked for, and the kind of each.

    Args:
        rows: some of 0 to `count - 1`; all of them if None.
        count: number of rows of the set.
        kinds: number of kinds.
        seed: kinds follow from (seed, what, row, kinds) alone.
        what: purpose of the random numbers, as in `Streams`.

    Returns:
        Integers `[N]`, and int32 `[N]` in 0 ... `kinds - 1`: each run of `kinds` rows,
        from row 0, has every kind once, in an order of its own.

    Raises:
        ValueError: other rows.
    """
    rows = np.arange(count) if rows is None else np.asarray(list(rows), int)
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise ValueError(
            f"rows must be from 0 to {count - 1}, not {rows.min()} to {rows.max()}"
        )
    runs, which = np.unique(rows // kinds, return_inverse=True)
    numbers = Streams(seed, what, runs).uniform(kinds)
    order = np.argsort(numbers, axis=1, kind="stable")
    return rows, order[which, rows % kinds].astype(np.int32)

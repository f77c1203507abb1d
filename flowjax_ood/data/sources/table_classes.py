"""Tables of several classes, seen one class at a time, and how they are split."""

import re

import numpy as np

from flowjax_ood.data.random import permutation

SPLITS = ("train", "test", "all")


def parse_class(name: str, table: str) -> tuple[int, bool] | None:
    """`"wine2"` as `(2, False)`, `"wine_not2"` as `(2, True)`, None for other names.

    The second number tells whether all classes but that one are meant.
    """
    found = re.fullmatch(rf"{re.escape(table)}(_not)?(\d+)", name)
    return (int(found[2]), bool(found[1])) if found else None


def split_rows(labels: np.ndarray, split: str, test: float, seed: int) -> np.ndarray:
    """Rows of `split`, ascending: of each class a share `test` is held out.

    The rows held out of class c are drawn from `(seed, c)` alone. `"all"` is both
    parts. Every class keeps at least one row on either side.
    """
    if split == "all":
        return np.arange(len(labels))
    held = np.zeros(len(labels), bool)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        count = min(max(1, round(test * len(rows))), len(rows) - 1)
        held[rows[permutation(len(rows), seed, int(c))[:count]]] = True
    return np.flatnonzero(held if split == "test" else ~held)

"""Reduce two lists of scores to counts at their distinct thresholds.

Every metric of a score depends on the two lists only through how many positives and
how many negatives sit at each distinct value, in order. Working on these counts makes
ties exact, and lets a bootstrap replicate cost O(n): new counts, no new sort.
"""

from __future__ import annotations

import numbers
from typing import Literal, NamedTuple

import numpy as np

Positive = Literal["id", "ood"]

# Above this, neighbouring integers share a float64 and would become ties.
_LARGEST_EXACT_INTEGER = 2**53


class ThresholdCounts(NamedTuple):
    """Positives and negatives at each distinct threshold, most positive first.

    Threshold k accepts everything counted at 0..k, so `cumsum(positive)[k]` are its
    true positives and `cumsum(negative)[k]` its false positives. Both are `[K]`.
    """

    positive: np.ndarray
    negative: np.ndarray


def threshold_counts(id_scores, ood_scores, positive: Positive) -> ThresholdCounts:
    """Count both classes at the distinct scores, from the most positive threshold.

    `positive="id"` walks from the highest score down, `positive="ood"` from the
    lowest score up, since higher always means more in-distribution. O(n log n).
    """
    if positive not in ("id", "ood"):
        raise ValueError(
            f'positive must be "id" or "ood", got {positive!r}: name the class that '
            "counts as a detection"
        )
    id_scores = check_scores("id_scores", id_scores)
    ood_scores = check_scores("ood_scores", ood_scores)
    distinct, where = np.unique(
        np.concatenate([id_scores, ood_scores]), return_inverse=True
    )
    n_id, bins = len(id_scores), len(distinct)
    id_counts = np.bincount(where[:n_id], minlength=bins)
    ood_counts = np.bincount(where[n_id:], minlength=bins)
    if positive == "id":
        return ThresholdCounts(id_counts[::-1], ood_counts[::-1])
    return ThresholdCounts(ood_counts, id_counts)


def check_scores(name: str, scores) -> np.ndarray:
    """Return `scores` as float64 `[n]` with the ties it came with.

    Accepts float16, bfloat16, float32, float64 and integers up to 2^53: each maps to
    float64 one to one. Infinite scores are ranked like any other.

    Raises:
        TypeError: the scores are not real numbers.
        ValueError: they are not one-dimensional, are empty, hold NaN, or hold integers
            that float64 cannot tell apart.
    """
    try:
        array = np.asarray(scores)
    except ValueError as error:
        raise ValueError(
            f"{name} is a ragged sequence: give a 1-d array, one score per image"
        ) from error
    is_float = array.dtype.kind == "f" and array.dtype.itemsize <= 8
    if not (is_float or array.dtype.kind in "iu" or array.dtype.name == "bfloat16"):
        raise TypeError(_not_numbers(name, scores, array.dtype))
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}: give a 1-d array, one score per image "
            "(.ravel() if the other axes have length 1)"
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty: give at least one score")
    if array.dtype.kind in "iu":
        inexact = (array > _LARGEST_EXACT_INTEGER) | (array < -_LARGEST_EXACT_INTEGER)
        if inexact.any():
            index = int(np.argmax(inexact))
            raise ValueError(
                f"{name}[{index}] is {array[index]}, and float64 cannot tell integers "
                "beyond 2^53 apart: give ranks or smaller integers"
            )
    array = array.astype(np.float64)
    nans = np.isnan(array)
    if nans.any():
        index = int(np.argmax(nans))
        raise ValueError(
            f"{name}[{index}] is NaN (the first of {nans.sum()}) and has no rank: "
            "repair the score that made it, or leave that image out and say so"
        )
    return array


def _not_numbers(name: str, scores, dtype: np.dtype) -> str:
    """Say which entry is the first that is not a real number."""
    entries = np.asarray(scores, dtype=object).ravel()
    bad = (
        index
        for index, entry in enumerate(entries)
        if isinstance(entry, bool) or not isinstance(entry, numbers.Real)
    )
    index = next(bad, None)
    if index is None:
        return f"{name} has dtype {dtype}: convert it with .astype(numpy.float64)"
    return (
        f"{name}[{index}] is {entries[index]!r} (dtype {dtype}), not a real number: "
        "give floating-point scores, higher for more in-distribution"
    )

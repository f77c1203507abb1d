"""`VectorSet`: float32 vectors in memory, with where they came from."""

from dataclasses import dataclass

import numpy as np

from flowjax_ood.data.stored_set import StoredSet


@dataclass(frozen=True, eq=False)
class VectorSet(StoredSet):
    """One split of one set of vectors: rows of a table, or embeddings of images.

    Attributes:
        name: data set, as asked for (`"hepmass0"`).
        split: split, as asked for (`"test"`).
        vectors: float32 `[N, D]`, all finite, `N` and `D` at least 1.
        labels: int32 `[N]`, or None where the source has none.
        source: one of `vector_loading.SOURCES`.
        origin: one readable line: where the vectors came from and what was done to
            them.

    Raises `TypeError` or `ValueError`, naming the set, for anything else.
    """

    FIELD = "vectors"
    KIND = "vectors"
    VALUES = "values"

    name: str
    split: str
    vectors: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str

    def __post_init__(self):
        what = f"{self.name}:{self.split}"
        check_vectors(self.vectors, what)
        self.check_facts(what)

    @property
    def dims(self) -> int:
        """D, the number of features."""
        return self.vectors.shape[1]


def check_vectors(vectors: np.ndarray, what: str) -> None:
    """Raises unless `vectors` is a non-empty float32 `[N, D]`, all of it finite."""
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        found = getattr(vectors, "dtype", type(vectors).__name__)
        raise TypeError(
            f"{what}: vectors must be a float32 array, not {found}; "
            "write np.asarray(x, np.float32)"
        )
    if vectors.ndim != 2:
        raise ValueError(
            f"{what}: vectors must be [N, D], not of shape {vectors.shape}; "
            "images go through the image sources, or write x.reshape(len(x), -1)"
        )
    if vectors.size == 0:
        raise ValueError(f"{what}: no vectors (shape {vectors.shape})")
    # a sum is finite only if no value is infinite or NaN, and needs no second array;
    # float64, in which finite float32 values cannot overflow
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(vectors.sum(dtype=np.float64))
    if not finite:
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        raise ValueError(
            f"{what}: {len(rows)} of {len(vectors)} vectors hold NaN or infinity, the "
            f"first in row {rows[0]}; remove those rows or fill them in"
        )

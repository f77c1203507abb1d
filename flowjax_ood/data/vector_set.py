"""`VectorSet`: float32 vectors in memory, with where they came from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowjax_ood.data.image_set import check_labels


@dataclass(frozen=True, eq=False)
class VectorSet:
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

    name: str
    split: str
    vectors: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str

    def __post_init__(self):
        what = f"{self.name}:{self.split}"
        check_vectors(self.vectors, what)
        if self.labels is not None:
            check_labels(self.labels, len(self.vectors), what, "vectors")
        if not self.origin or "\n" in self.origin:
            raise ValueError(f"{what}: origin must be one line, not {self.origin!r}")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dims(self) -> int:
        """D, the number of features."""
        return self.vectors.shape[1]

    def describe(self) -> dict[str, Any]:
        """JSON-ready provenance, as it is written in `results.json`."""
        return {
            "name": self.name,
            "split": self.split,
            "source": self.source,
            "count": len(self),
            "shape": [self.dims],
            "origin": self.origin,
        }

    def at(self, rows: np.ndarray) -> "VectorSet":
        """The vectors, and labels, at `rows`: indices or a boolean mask `[N]`."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, vectors=self.vectors[rows], labels=labels)

    def take(self, n: int) -> "VectorSet":
        """First `n` vectors; more than there are is an error, never fewer vectors."""
        if not 1 <= n <= len(self):
            raise ValueError(
                f"{self.name}:{self.split} from source {self.source!r} holds "
                f"{len(self)} vectors, so the first {n} cannot be taken; "
                f"ask for 1 to {len(self)}, or for no limit"
            )
        return self.at(np.arange(n))


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

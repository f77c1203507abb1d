"""What sets of images, of vectors and of tokens have in common."""

from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np


class StoredSet:
    """Base of frozen dataclasses with `name`, `split`, `labels`, `source`, `origin`.

    `FIELD` names the attribute that holds the events, `[N, ...]`, and `KIND` is what
    errors call them, `VALUES` what one is made of.
    """

    FIELD: ClassVar[str]
    KIND: ClassVar[str]
    VALUES: ClassVar[str]

    @property
    def events(self) -> np.ndarray:
        """The images, vectors or tokens, as they are stored."""
        return getattr(self, self.FIELD)

    def check_facts(self, what: str) -> None:
        """Raises unless the labels go with the events and the origin is one line."""
        if self.labels is not None:
            check_labels(self.labels, len(self), what, self.KIND)
        if not self.origin or "\n" in self.origin:
            raise ValueError(f"{what}: origin must be one line, not {self.origin!r}")

    def __len__(self) -> int:
        return len(self.events)

    def describe(self) -> dict[str, Any]:
        """JSON-ready provenance, as it is written in `results.json`."""
        return {
            "name": self.name,
            "split": self.split,
            "source": self.source,
            "count": len(self),
            "shape": list(self.events.shape[1:]),
            "origin": self.origin,
        }

    def at(self, rows: np.ndarray | slice) -> Self:
        """The events, and labels, at `rows`: indices, a slice or a mask `[N]`."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, **{self.FIELD: self.events[rows]}, labels=labels)

    def without(self, rows: np.ndarray) -> Self:
        """All but those at the indices `rows`, in the same order."""
        kept = np.ones(len(self), bool)
        kept[rows] = False
        return self.at(kept)

    def noted(self, what: str) -> Self:
        """The same set, its origin saying also `what` was done to it."""
        return replace(self, origin=f"{self.origin}; {what}")

    def take(self, n: int) -> Self:
        """First `n` of them; more than there are is an error, never fewer."""
        if not 1 <= n <= len(self):
            raise ValueError(
                f"{self.name}:{self.split} from source {self.source!r} holds "
                f"{len(self)} {self.KIND}, so the first {n} cannot be taken; "
                f"ask for 1 to {len(self)}, or for no limit"
            )
        return self.at(slice(n))


def check_labels(labels: np.ndarray, count: int, what: str, kind: str) -> None:
    """Raises unless `labels` is int32 `[count]`; `kind`: what they are labels of."""
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int32:
        found = getattr(labels, "dtype", type(labels).__name__)
        raise TypeError(f"{what}: labels must be an int32 array, not {found}")
    if labels.shape != (count,):
        raise ValueError(
            f"{what}: labels of shape {labels.shape} do not go with {count} {kind}; "
            f"expected ({count},)"
        )

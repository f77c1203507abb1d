"""`TokenSet`: sequences of tokens in memory, with where they came from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flowjax_ood.data.image_set import check_labels


@dataclass(frozen=True, eq=False)
class TokenSet:
    """One split of one set of sequences: `N` of them, all `L` tokens long.

    Attributes:
        name: data set, as asked for (`"genomics_ood"`).
        split: split, as asked for (`"test"`).
        tokens: uint8 `[N, L]`, `N` and `L` at least 1. A token is an index of
            `alphabet`.
        labels: int32 `[N]`, or None where the source has none.
        source: `tfds | synthetic`.
        origin: one readable line: where the sequences came from and what was done to
            them.
        alphabet: the character of each token, such as `"ACGT"`.

    Raises `TypeError` or `ValueError`, naming the set, for anything else.
    """

    name: str
    split: str
    tokens: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str
    alphabet: str

    def __post_init__(self):
        what = f"{self.name}:{self.split}"
        _check_tokens(self.tokens, self.alphabet, what)
        if self.labels is not None:
            check_labels(self.labels, len(self.tokens), what, "sequences")
        if not self.origin or "\n" in self.origin:
            raise ValueError(f"{what}: origin must be one line, not {self.origin!r}")

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def length(self) -> int:
        """L, the number of tokens of a sequence."""
        return self.tokens.shape[1]

    def describe(self) -> dict[str, Any]:
        """JSON-ready provenance, as it is written in `results.json`."""
        return {
            "name": self.name,
            "split": self.split,
            "source": self.source,
            "count": len(self),
            "shape": [self.length],
            "origin": self.origin,
        }

    def at(self, rows: np.ndarray) -> "TokenSet":
        """The sequences, and labels, at `rows`: indices or a boolean mask `[N]`."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, tokens=self.tokens[rows], labels=labels)

    def take(self, n: int) -> "TokenSet":
        """First `n` sequences; more than there are is an error, never fewer."""
        if not 1 <= n <= len(self):
            raise ValueError(
                f"{self.name}:{self.split} from source {self.source!r} holds "
                f"{len(self)} sequences, so the first {n} cannot be taken; "
                f"ask for 1 to {len(self)}, or for no limit"
            )
        return self.at(np.arange(n))

    def text(self, row: int) -> str:
        """Sequence `row` in the characters of the alphabet."""
        return "".join(self.alphabet[token] for token in self.tokens[row])


def _check_tokens(tokens: np.ndarray, alphabet: str, what: str) -> None:
    if not isinstance(tokens, np.ndarray) or tokens.dtype != np.uint8:
        found = getattr(tokens, "dtype", type(tokens).__name__)
        raise TypeError(f"{what}: tokens must be a uint8 array, not {found}")
    if tokens.ndim != 2 or tokens.size == 0:
        raise ValueError(
            f"{what}: tokens must be [N, L], none of them 0, not of shape "
            f"{tokens.shape}"
        )
    if tokens.max() >= len(alphabet):
        row = int((tokens >= len(alphabet)).any(axis=1).argmax())
        raise ValueError(
            f"{what}: sequence {row} holds the token {tokens[row].max()}, but the "
            f"alphabet {alphabet!r} ends at {len(alphabet) - 1}"
        )

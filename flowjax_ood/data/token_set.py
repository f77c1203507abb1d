"""`TokenSet`: sequences of tokens in memory, with where they came from."""

from dataclasses import dataclass

import numpy as np

from flowjax_ood.data.stored_set import StoredSet


@dataclass(frozen=True, eq=False)
class TokenSet(StoredSet):
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

    FIELD = "tokens"
    KIND = "sequences"
    VALUES = "tokens"

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
        self.check_facts(what)

    @property
    def length(self) -> int:
        """L, the number of tokens of a sequence."""
        return self.tokens.shape[1]

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

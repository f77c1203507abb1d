"""Data sets in memory: `ImageSet`, `TokenSet`, `VectorSet`, and what they share."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from flowjax_ood.data.checks import number_to_take

# beyond them, what comes last is taken for a side of the image
MOST_CHANNELS = 16


class StoredSet:
    """Base of frozen dataclasses with `name`, `split`, `labels`, `source`, `origin`.

    `FIELD` names the attribute that holds the events, `[N, ...]`. Errors call the
    events `KIND`.
    """

    FIELD: ClassVar[str]
    KIND: ClassVar[str]
    # for `replace`
    __dataclass_fields__: ClassVar[dict[str, Any]]

    name: str
    split: str
    labels: np.ndarray | None
    source: str
    origin: str

    @property
    def events(self) -> np.ndarray:
        """The images, vectors or tokens, as they are stored."""
        return getattr(self, self.FIELD)

    def __post_init__(self):
        what = f"{self.name}:{self.split}"
        self.check_events(what)
        if self.labels is not None:
            _check_dtype(
                self.labels, np.int32, f"{what}: labels must be an int32 array"
            )
            if self.labels.shape != (len(self),):
                raise ValueError(
                    f"{what}: labels of shape {self.labels.shape} do not go with "
                    f"{len(self)} {self.KIND}; expected ({len(self)},)"
                )
        if not self.origin or "\n" in self.origin:
            raise ValueError(f"{what}: origin must be one line, not {self.origin!r}")

    def check_events(self, what: str) -> None:
        """Raise TypeError or ValueError, naming `what`, for events of another kind."""

    def __len__(self) -> int:
        return len(self.events)

    def describe(self) -> dict[str, Any]:
        """Return the provenance, JSON-ready, as it is written in `results.json`."""
        return {
            "name": self.name,
            "split": self.split,
            "source": self.source,
            "count": len(self),
            "shape": list(self.events.shape[1:]),
            "origin": self.origin,
        }

    def at(self, rows: np.ndarray | slice) -> Self:
        """Take the events, and labels, at `rows`: indices, a slice or a mask `[N]`."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, **{self.FIELD: self.events[rows]}, labels=labels)

    def without(self, rows: np.ndarray) -> Self:
        """Leave out the events at the indices `rows`; all others stay in order."""
        kept = np.ones(len(self), bool)
        kept[rows] = False
        return self.at(kept)

    def noted(self, what: str) -> Self:
        """Return the same set, its origin saying also `what` was done to it."""
        return replace(self, origin=f"{self.origin}; {what}")

    def take(self, n: int) -> Self:
        """Take the first `n`; ValueError for more than there are, never fewer."""
        what = f"{self.name}:{self.split} from source {self.source!r}"
        number_to_take(n, len(self), what, self.KIND)
        return self.at(slice(n))


@dataclass(frozen=True, eq=False)
class ImageSet(StoredSet):
    """One split of one data set: `N` images, their labels, and their provenance.

    Attributes:
        name: data set, as asked for (`"fashion_mnist"`).
        split: split, as asked for (`"test"`).
        images: uint8 `[N, H, W, C]`, `N` and `C` at least 1; uint16 of images of more
            than 256 values, which flows alone take.
        labels: int32 `[N]`, or None where the source has none.
        source: one of `loading.SOURCES`.
        origin: one readable line: where the images came from, what was done to them,
            and their licence where it is known.

    Raises `TypeError` or `ValueError`, naming the set, for anything else.
    """

    FIELD = "images"
    KIND = "images"

    name: str
    split: str
    images: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str

    def check_events(self, what: str) -> None:
        """Raise unless the images are as described."""
        check_images(self.images, what, deep=True)


@dataclass(frozen=True, eq=False)
class VectorSet(StoredSet):
    """One split of one set of vectors: rows of a table, or embeddings of images.

    Attributes, all others as of an `ImageSet`:
        vectors: float32 `[N, D]`, all finite, `N` and `D` at least 1.
        source: one of `loading.VECTOR_SOURCES`.
    """

    FIELD = "vectors"
    KIND = "vectors"

    name: str
    split: str
    vectors: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str

    def check_events(self, what: str) -> None:
        """Raise unless the vectors are as described."""
        check_vectors(self.vectors, what)

    @property
    def dims(self) -> int:
        """D, the number of features."""
        return self.vectors.shape[1]


@dataclass(frozen=True, eq=False)
class TokenSet(StoredSet):
    """One split of one set of sequences: `N` of them, all `L` tokens long.

    Attributes, all others as of an `ImageSet`:
        tokens: uint8 `[N, L]`, `N` and `L` at least 1. A token is an index of
            `alphabet`.
        source: `tfds | synthetic`.
        alphabet: the character of each token, such as `"ACGT"`.
    """

    FIELD = "tokens"
    KIND = "sequences"

    name: str
    split: str
    tokens: np.ndarray
    labels: np.ndarray | None
    source: str
    origin: str
    alphabet: str

    def check_events(self, what: str) -> None:
        """Raise unless the tokens are as described."""
        _check_tokens(self.tokens, self.alphabet, what)

    @property
    def length(self) -> int:
        """L, the number of tokens of a sequence."""
        return self.tokens.shape[1]

    def text(self, row: int) -> str:
        """Spell sequence `row` in the characters of the alphabet."""
        return "".join(self.alphabet[token] for token in self.tokens[row])


def check_images(images: np.ndarray, what: str, deep: bool = False) -> None:
    """Raise unless `images` is a non-empty uint8 `[N, H, W, C]`, channels last.

    `deep`: it may also be uint16.
    """
    remedy = "; images are stored as uint8 0..255 and dequantised on the device"
    dtype = getattr(images, "dtype", object)
    if np.issubdtype(dtype, np.floating):
        remedy += "; for floats in [0, 1]: np.round(255 * x).astype(np.uint8)"
    if dtype == np.uint16:
        remedy = "; of values on all 16 bits: (x >> 8).astype(np.uint8)"
    wanted = np.uint16 if deep and dtype == np.uint16 else np.uint8
    _check_dtype(images, wanted, f"{what}: images must be a uint8 array", remedy)
    if images.ndim != 4:
        raise ValueError(
            f"{what}: images must be [N, H, W, C], not of shape {images.shape}"
        )
    if images.size == 0:
        raise ValueError(f"{what}: no images (shape {images.shape})")
    _, second, third, last = images.shape
    # many channels are as many as a side has pixels, or more than a sensor has
    many = last == third or last > MOST_CHANNELS
    if last not in (1, 3) and second in (1, 3) and many:
        raise ValueError(
            f"{what}: images of shape {images.shape} look like channels first "
            "[N, C, H, W]: write x.transpose(0, 2, 3, 1)"
        )


def check_vectors(vectors: np.ndarray, what: str) -> None:
    """Raise unless `vectors` is a non-empty float32 `[N, D]`, all of it finite."""
    remedy = "; write np.asarray(x, np.float32)"
    _check_dtype(
        vectors, np.float32, f"{what}: vectors must be a float32 array", remedy
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


def class_labels(labels: np.ndarray | None, count: int) -> np.ndarray:
    """Return `labels` as int32 `[count]`; ValueError unless they are 0, 1, ..."""
    if labels is None:
        raise ValueError("these examples have no labels; give one for each")
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape ({count},), one for each example, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    if (labels < 0).any():
        raise ValueError(f"labels must not be negative, got {labels.min()}")
    return labels.astype(np.int32)


def _check_tokens(tokens: np.ndarray, alphabet: str, what: str) -> None:
    _check_dtype(tokens, np.uint8, f"{what}: tokens must be a uint8 array")
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


def _check_dtype(values, dtype: type, must_be: str, remedy: str = "") -> None:
    if not isinstance(values, np.ndarray) or values.dtype != dtype:
        kind = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"{must_be}, not {kind}{remedy}")

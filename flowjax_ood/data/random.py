"""Random numbers that follow from a key of numbers and text, on every platform alike.

`bits` and `permutation` are made of raw Philox bits, which NumPy promises never to
change; of the methods of its `Generator`, it does not. `Streams` and `generator` use
those methods: their numbers are fixed for one version of NumPy.
"""

import hashlib
from collections.abc import Iterable
from functools import cached_property

import numpy as np


def bits(count: int, *key: int | str) -> np.ndarray:
    """Draw uint64 `[count]` by `key`: integers of at least 0, and text."""
    return _philox(key).random_raw(count)


def permutation(count: int, *key: int | str) -> np.ndarray:
    """Order `0 ... count - 1` at random by `key`: int64 `[count]`."""
    order = np.argsort(bits(count, *key), kind="stable")
    return order.astype(np.int64, copy=False)


def generator(*key: int | str) -> np.random.Generator:
    """Make the generator of `key`: integers of at least 0, and text."""
    return np.random.Generator(_philox(key))


class Streams:
    """An independent random stream for each of some images, given by their positions.

    A stream follows from `(seed, what, position)` alone, so what happens to an image
    does not depend on which other images are in its batch.
    """

    def __init__(self, seed: int, what: str, positions: Iterable[int]):
        digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
        self._key = np.frombuffer(digest[:16], "<u8").astype(np.uint64)
        self._positions = [int(i) for i in positions]

    @cached_property
    def generators(self) -> list[np.random.Generator]:
        """One generator per image, made when the first number is drawn."""
        return [
            np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, i]))
            for i in self._positions
        ]

    def normal(self, *shape: int) -> np.ndarray:
        """Draw N(0, 1): float32 `[N, *shape]`."""
        drawn = [g.standard_normal(shape, dtype=np.float32) for g in self.generators]
        return np.array(drawn, np.float32).reshape(-1, *shape)

    def uniform(self, *shape: int) -> np.ndarray:
        """Draw U[0, 1): float32 `[N, *shape]`."""
        drawn = [g.random(shape, dtype=np.float32) for g in self.generators]
        return np.array(drawn, np.float32).reshape(-1, *shape)

    def poisson(self, means: np.ndarray) -> np.ndarray:
        """Draw Poisson counts of `means` `[N, ...]`: float32 of the same shape."""
        drawn = [g.poisson(m) for g, m in zip(self.generators, means, strict=True)]
        return np.array(drawn, np.float32).reshape(means.shape)


def _philox(key: tuple[int | str, ...]) -> np.random.Philox:
    words = [
        int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "big")
        if isinstance(part, str)
        else part
        for part in key
    ]
    return np.random.Philox(np.random.SeedSequence(words))

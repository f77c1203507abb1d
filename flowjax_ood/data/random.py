"""Random numbers of an image: a function of what they are for and of its position."""

import hashlib
from collections.abc import Iterable
from functools import cached_property

import numpy as np


class Streams:
    """An independent random stream for each of some images, given by their positions.

    A stream follows from `(seed, what, position)` alone, so what happens to an image
    does not depend on which other images are in its batch. The numbers are NumPy's
    Philox bits, and for one version of NumPy the same on every platform.
    """

    def __init__(self, seed: int, what: str, positions: Iterable[int]):
        digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
        self._key = np.frombuffer(digest[:16], "<u8").astype(np.uint64)
        self._positions = [int(i) for i in positions]

    @cached_property
    def generators(self) -> list[np.random.Generator]:
        """A generator an image, made when the first number is drawn."""
        return [
            np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, i]))
            for i in self._positions
        ]

    def normal(self, *shape: int) -> np.ndarray:
        """N(0, 1), float32 `[N, *shape]`."""
        out = np.empty((len(self._positions), *shape), np.float32)
        for i, generator in enumerate(self.generators):
            out[i] = generator.standard_normal(shape, dtype=np.float32)
        return out

    def uniform(self, *shape: int) -> np.ndarray:
        """U[0, 1), float32 `[N, *shape]`."""
        out = np.empty((len(self._positions), *shape), np.float32)
        for i, generator in enumerate(self.generators):
            out[i] = generator.random(shape, dtype=np.float32)
        return out

    def poisson(self, means: np.ndarray) -> np.ndarray:
        """Poisson counts of `means` `[N, ...]`, float32 of the same shape."""
        out = np.empty(means.shape, np.float32)
        for i, generator in enumerate(self.generators):
            out[i] = generator.poisson(means[i])
        return out


def permutation(count: int, *words: int) -> np.ndarray:
    """One order of `0 ... count - 1` for each `words`, the same on every platform."""
    # raw Philox bits, as in `batching`: NumPy promises that they never change
    bits = np.random.Philox(np.random.SeedSequence(words)).random_raw(count)
    return np.argsort(bits, kind="stable")

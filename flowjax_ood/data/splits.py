"""Hold validation examples back from training: the same ones, wherever they are."""

from typing import TypeVar

import numpy as np

from flowjax_ood.data.checks import check_memory
from flowjax_ood.data.random import permutation
from flowjax_ood.data.sets import StoredSet
from flowjax_ood.data.streaming import StreamedImageSet

Whole = TypeVar("Whole", bound=StoredSet)

# sets the randomness of this choice apart
WORD = 0x76616C


def held_back_rows(total: int, count: int, seed: int) -> np.ndarray:
    """Draw `count` of `0 ... total - 1`: int64, ascending.

    The first of one permutation per seed: fewer are among more.
    """
    return np.sort(permutation(total, seed, WORD)[:count])


def hold_back(whole: Whole, count: int, seed: int) -> tuple[Whole, StoredSet]:
    """Split a set into `(the rest, the held back)`, both in the order of the whole.

    Which are held back depends on `seed` and the number of examples alone. Of a
    streamed set, the rest is streamed as well, and the held back are read, to memory.
    Both say in their `origin` what was done. Raises ValueError unless something is left
    to train on, and for more than memory takes.
    """
    what = f"{whole.name}:{whole.split}"
    if not 1 <= count < len(whole):
        raise ValueError(
            f"{count} of the {len(whole)} {whole.KIND} of {what} cannot be held back: "
            f"some have to be, and some be left to train on; take 1 to {len(whole) - 1}"
        )
    rows = held_back_rows(len(whole), count, seed)
    if (dtype := whole.events.dtype) in (np.uint8, np.uint16):
        streamed = isinstance(whole, StreamedImageSet)
        copied = count if streamed else len(whole)
        shape = (copied, *whole.events.shape[1:])
        check_memory(shape, f"{what}, {count} held back", dtype.itemsize)
    drawn = f"the {count} of {len(whole)} held back by seed {seed}"
    return whole.without(rows).noted(f"without {drawn}"), whole.at(rows).noted(drawn)

"""Choose the examples of a step: a pure function of (seed, step), equal on any host."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.random import permutation


def batch_indices(
    num_examples: int, batch_size: int, seed: int, step: int
) -> np.ndarray:
    """`out[i] = stream[step * batch_size + i]`, int64 `[batch_size]`.

    The stream is one permutation of `0 ... num_examples - 1` after another, that of
    epoch e drawn from (seed, e). So every example is seen exactly once an epoch, none
    is dropped, and a batch may span two epochs; a batch larger than the set spans
    several, and then holds examples twice. Resuming needs the step alone.

    A step costs O(batch_size); the first one of an epoch sorts `num_examples` numbers.
    Raises `ValueError` unless sizes are positive, and `seed` and `step` not negative.
    """
    num_examples = whole_number("num_examples", num_examples, least=1)
    batch_size = whole_number("batch_size", batch_size, least=1)
    seed = whole_number("seed", seed, least=0)
    step = whole_number("step", step, least=0)
    out = np.empty(batch_size, np.int64)
    filled = 0
    while filled < batch_size:
        epoch, offset = divmod(step * batch_size + filled, num_examples)
        count = min(batch_size - filled, num_examples - offset)
        order = _epoch_order(num_examples, seed, epoch)
        out[filled : filled + count] = order[offset : offset + count]
        filled += count
    return out


def padded_batches(
    num_examples: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`0 ... num_examples - 1` in order, each exactly once, in batches of one size.

    Yields `(indices int64 [batch_size], mask bool [batch_size])`. The last batch is
    filled up with index 0, where the mask is False: one shape, hence one compilation.
    """
    num_examples = whole_number("num_examples", num_examples, least=1)
    batch_size = whole_number("batch_size", batch_size, least=1)
    last = -(-num_examples // batch_size) * batch_size
    batches = np.arange(last).reshape(-1, batch_size)
    masks = batches < num_examples
    return zip(np.where(masks, batches, 0), masks)


# two epochs of a few sets at a time: training with negative examples has two sets
@lru_cache(maxsize=8)
def _epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    order = permutation(num_examples, seed, epoch)
    order.setflags(write=False)  # the cache hands out this very array
    return order

"""Batching: each example once an epoch, from (seed, step) alone."""

import numpy as np
import pytest

from flowjax_ood.data import batch_indices, padded_batches
from flowjax_ood.data.batching import _epoch_order


def stream(num_examples, batch_size, seed, steps):
    batches = [batch_indices(num_examples, batch_size, seed, s) for s in range(steps)]
    return np.concatenate(batches)


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(10, 3), (10, 5), (7, 7), (1, 4), (5, 13)]
)
def test_every_epoch_is_a_epoch_order(num_examples, batch_size):
    epochs = 6
    steps = -(-epochs * num_examples // batch_size)
    positions = stream(num_examples, batch_size, 0, steps)
    epochs = positions[: epochs * num_examples].reshape(epochs, num_examples)
    np.testing.assert_array_equal(np.sort(epochs), [range(num_examples)] * len(epochs))


def test_the_stream_does_not_depend_on_the_batch_size():
    np.testing.assert_array_equal(stream(10, 3, 4, 20), stream(10, 60, 4, 1))
    np.testing.assert_array_equal(stream(10, 3, 4, 20), stream(10, 4, 4, 15))


def test_epochs_and_seeds_differ():
    epochs = stream(100, 100, 0, 3).reshape(3, 100)
    other = batch_indices(100, 100, 1, 0)
    orders = {tuple(order) for order in (*epochs, other)}
    assert len(orders) == 4


def test_orders_are_uniform():
    """Every example is as often first as any other: chi-square over 10 cells."""
    first = [batch_indices(10, 1, seed, 0)[0] for seed in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # 0.1% level, 9 degrees of freedom


def test_pinned_values():
    """A checkpoint resumed elsewhere must see the same batches."""
    assert batch_indices(10, 10, 0, 0).tolist() == PINNED[0]
    assert batch_indices(10, 4, 0, 2).tolist() == PINNED[1]
    assert batch_indices(60_000, 4, 2020, 123_456).tolist() == PINNED[2]


PINNED = [[0, 8, 9, 3, 7, 5, 1, 2, 6, 4], [6, 4, 3, 7], [17498, 29109, 46219, 2238]]


def test_type_and_ownership():
    batch = batch_indices(10, 4, 0, 0)
    assert batch.dtype == np.int64
    batch[:] = -1  # the caller's own: the cached order stays as it is
    assert batch_indices(10, 4, 0, 0).min() >= 0


def test_a_step_reuses_the_epochs_order():
    _epoch_order.cache_clear()
    for step in range(50):
        batch_indices(1000, 10, 0, step)
    assert _epoch_order.cache_info().misses == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 0, 0), "num_examples must be at least 1, got 0"),
        ((10, 0, 0, 0), "batch_size must be at least 1, got 0"),
        ((10, 4, -1, 0), "seed must be at least 0, got -1"),
        ((10, 4, 0, -1), "step must be at least 0, got -1"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        batch_indices(*arguments)


def test_non_integers():
    with pytest.raises(ValueError, match=r"step must be a whole number, got 1\.5"):
        batch_indices(10, 4, 0, 1.5)
    assert batch_indices(np.int64(10), np.int32(4), np.uint8(0), np.int64(1)).size == 4


@pytest.mark.parametrize(
    ("num_examples", "batch_size"), [(10, 4), (8, 4), (3, 5), (1, 1)]
)
def test_padded_batches_cover_in_order_once(num_examples, batch_size):
    seen = []
    for indices, mask in padded_batches(num_examples, batch_size):
        assert indices.shape == mask.shape == (batch_size,)
        assert indices.dtype == np.int64
        assert mask.dtype == bool
        assert (indices[~mask] == 0).all()
        seen.extend(indices[mask])
    assert seen == list(range(num_examples))


def test_padded_batches_refuses_at_once():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        padded_batches(10, 0)

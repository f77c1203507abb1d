"""Which number goes where, and what does not fit."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Patches, Reshape, Reverse

IMAGES = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)


def test_a_token_is_a_patch_and_tokens_go_row_by_row():
    tokens, _ = Patches((4, 6, 3), 2).apply({}, jnp.asarray(IMAGES))
    assert tokens.shape == (2, 6, 12)
    for number in range(6):
        row, column = divmod(number, 3)
        patch = IMAGES[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_array_equal(tokens[:, number], patch.reshape(2, -1))


def test_reshape_is_row_major_and_reverse_turns_the_first_axis():
    z, _ = Reshape((4, 6, 3), (8, 9)).apply({}, jnp.asarray(IMAGES))
    np.testing.assert_array_equal(z, IMAGES.reshape(2, 8, 9))
    z, _ = Reverse().apply({}, jnp.asarray(IMAGES))
    np.testing.assert_array_equal(z, IMAGES[:, ::-1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patches((28, 28, 1), 3), "do not divide 28x28 pixels; those that do"),
        (lambda: Patches((28, 28, 1), 3), "2, 4, 7, 14, 28"),
        (lambda: Patches((5, 7, 1), 2), "those that do: none"),
        (lambda: Patches((28, 28), 4), "Patches takes images"),
        (lambda: Patches((28, 28, 1), 0), "size must be at least 1, got 0"),
        (lambda: Reshape((4, 2), (3, 3)), "8 numbers are not 9"),
    ],
)
def test_shapes_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("bijector", "method", "message"),
    [
        (Patches((4, 6, 3), 2), "forward", r"takes images \(4, 6, 3\), got \(4, 6\)"),
        (Patches((4, 6, 3), 2), "inverse", r"tokens \(6, 12\), got \(4, 6\)"),
        (Reshape((24,), (4, 6)), "forward", r"takes events \(24,\), got \(4, 6\)"),
        (Reshape((4, 6), (24,)), "inverse", r"takes events \(24,\), got \(4, 6\)"),
    ],
)
def test_other_events_are_refused(bijector, method, message):
    with pytest.raises(ValueError, match=message):
        bijector.apply({}, jnp.zeros((2, 4, 6)), method=method)

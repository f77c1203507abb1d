"""The triangular factors of a 1x1 convolution: a rotation that the init key draws."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import InvertibleConv1x1, Repeat
from flowjax_ood.bijectors.conv1x1 import pivots, plu_weight

X = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))


@cache
def start(key: int, seed: int = 1) -> dict:
    variables = InvertibleConv1x1("plu", seed).init(jax.random.key(key), X)
    return {name: np.asarray(p) for name, p in variables["params"].items()}


def weight(key: int, seed: int = 1) -> np.ndarray:
    permutation, sign = pivots(4, seed)
    return np.asarray(plu_weight(permutation, sign, **start(key, seed)))


@pytest.mark.parametrize(("key", "seed"), [(0, 1), (1, 1), (0, 2)])
def test_it_starts_as_a_rotation(key, seed):
    w = weight(key, seed)
    np.testing.assert_allclose(w @ w.T, np.eye(4), atol=1e-5)
    assert abs(start(key, seed)["log_scale"].sum()) < 1e-5
    # pivoting bounds what is below the diagonal
    assert 0 < np.abs(start(key, seed)["lower"]).max() <= 1


def test_the_key_draws_it_and_the_seed_arranges_it():
    assert np.abs(weight(0) - weight(1)).max() > 0.1
    assert np.abs(weight(0, 1) - weight(0, 2)).max() > 0.1
    np.testing.assert_array_equal(start(0, 1)["lower"], start(0, 2)["lower"])


def test_every_step_of_a_stack_has_a_rotation_of_its_own():
    repeat = Repeat(InvertibleConv1x1("plu"), 3)
    lower = repeat.init(jax.random.key(0), X)["params"]["stack"]["lower"]
    assert all(np.abs(lower[i] - lower[j]).max() > 0.01 for i, j in [(0, 1), (1, 2)])


def test_what_a_checkpoint_relies_on_stays():
    """Permutation and signs of a seed, and so the weight of given parameters."""
    fixed = {
        (4, 0): ([3, 0, 2, 1], [-1, -1, -1, 1]),
        (4, 1): ([2, 0, 1, 3], [1, 1, -1, 1]),
        (6, 3): ([1, 2, 5, 0, 4, 3], [1, -1, -1, -1, -1, -1]),
    }
    for case, expected in fixed.items():
        for got, want in zip(pivots(*case), expected, strict=True):
            np.testing.assert_array_equal(got, want)
    square = jnp.arange(16.0).reshape(4, 4) / 16
    params = {"lower": square, "upper": square.T, "log_scale": square[0]}
    flow = InvertibleConv1x1("plu", 1)
    z, logdet = flow.apply({"params": params}, X)
    by_hand = (np.tril(square, -1) + np.eye(4)) @ (
        np.triu(square.T, 1) + np.diag([1, 1, -1, 1] * np.exp(square[0]))
    )
    expected = np.einsum("oi,bhwi->bhwo", by_hand[[2, 0, 1, 3]], X)
    np.testing.assert_allclose(z, expected, atol=1e-5)
    np.testing.assert_allclose(logdet, 9 * float(square[0].sum()), rtol=1e-6)

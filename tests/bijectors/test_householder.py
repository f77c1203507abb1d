"""Products of reflections are orthogonal; that they invert is in `test_laws.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import Householder, reflect

VECTORS = np.random.default_rng(0).normal(size=(3, 5))


def matrix(vectors) -> np.ndarray:
    """`H_k ... H_1`, whose rows are the images of the unit vectors, transposed."""
    return np.asarray(reflect(jnp.eye(vectors.shape[1]), jnp.asarray(vectors))).T


@pytest.mark.parametrize("reflections", [1, 2, 3])
def test_the_matrix_is_orthogonal_and_its_determinant_alternates(reflections):
    of = matrix(VECTORS[:reflections])
    np.testing.assert_allclose(of @ of.T, np.eye(5), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(of), (-1) ** reflections, rtol=1e-5)


def test_it_is_the_product_of_the_reflections():
    expected = np.eye(5)
    for v in VECTORS:
        expected = (np.eye(5) - 2 * np.outer(v, v) / (v @ v)) @ expected
    np.testing.assert_allclose(matrix(VECTORS), expected, atol=1e-6)


def test_lengths_do_not_matter_and_have_no_gradient():
    scaled = VECTORS * np.array([[2.0], [0.1], [-5.0]])
    np.testing.assert_allclose(matrix(scaled), matrix(VECTORS), atol=1e-6)
    x, weight = np.random.default_rng(1).normal(size=(2, 4, 5))

    def loss(v):
        return jnp.sum(weight * reflect(jnp.asarray(x), v))

    gradient = jax.grad(loss)(jnp.asarray(VECTORS))
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose((gradient * VECTORS).sum(1), 0, atol=1e-4)


@pytest.mark.parametrize("reflections", [2, 4])
def test_pairs_begin_as_the_identity(reflections):
    x = jnp.asarray(np.random.default_rng(2).normal(size=(3, 2, 5)), jnp.float32)
    bijector = Householder(reflections)
    variables = bijector.init(jax.random.key(0), x)
    np.testing.assert_allclose(bijector.apply(variables, x)[0], x, atol=1e-5)


def test_at_least_one_reflection():
    with pytest.raises(ValueError, match="reflections must be at least 1, got 0"):
        Householder(0)

"""What each bijector computes, by hand, and what it refuses."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import bijectors
from flowjax_ood.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    ChannelPermutation,
    FactorOut,
    Inverse,
    Logit,
    Squeeze,
    event_size,
    walk,
)
from tests.helpers.law_runs import wide


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


# --- squeeze -----------------------------------------------------------------------


def test_squeeze_orders_channels_as_4c_2dy_dx():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    z = bijectors.squeeze(x)
    assert z.shape == (2, 2, 3, 12)
    for c in range(3):
        for dy in range(2):
            for dx in range(2):
                channel = z[..., 4 * c + 2 * dy + dx]
                np.testing.assert_array_equal(channel, x[:, dy::2, dx::2, c])
    np.testing.assert_array_equal(bijectors.unsqueeze(z), x)


def test_squeeze_refuses_odd_sizes_and_channels():
    with pytest.raises(ValueError, match="cannot squeeze 5x4 pixels"):
        Squeeze().apply({}, jnp.zeros((1, 5, 4, 1)))
    with pytest.raises(ValueError, match="cannot unsqueeze 6 channels"):
        Squeeze().apply({}, jnp.zeros((1, 2, 2, 6)), method="inverse")
    with pytest.raises(ValueError, match="Squeeze takes images"):
        Squeeze().apply({}, jnp.zeros((1, 4)))


# --- logit -------------------------------------------------------------------------


@pytest.mark.thorough
def test_logit_by_hand():
    # x = 1/2 is p = 1/2: z = 0 and dz/dx = 0.9 / (1/2 * 1/2)
    z, logdet = bijectors.logit_forward(jnp.full((2, 3), 0.5))
    np.testing.assert_allclose(z, 0, atol=1e-7)
    np.testing.assert_allclose(logdet, 3 * math.log(3.6), rtol=1e-6)
    # x = 0 is p = 0.05
    z, logdet = bijectors.logit_forward(jnp.zeros((1, 1)))
    np.testing.assert_allclose(z, math.log(0.05 / 0.95), rtol=1e-6)
    np.testing.assert_allclose(logdet, math.log(0.9 / (0.05 * 0.95)), rtol=1e-6)


@pytest.mark.thorough
def test_logit_inverse_is_exact_on_the_whole_domain():
    x = np.concatenate([np.linspace(0, 255 / 256, 256), [np.nextafter(1, 0)]])[None]
    with jax.enable_x64(True):
        z, _ = bijectors.logit_forward(jnp.asarray(x))
        again, _ = bijectors.logit_inverse(z)
        np.testing.assert_allclose(again, x, atol=1e-14)
    z, _ = bijectors.logit_forward(jnp.asarray(x, jnp.float32))
    again, _ = bijectors.logit_inverse(z)
    np.testing.assert_allclose(again, x, atol=3e-7)


@pytest.mark.parametrize("alpha", [-0.1, 0.5, 1.0])
def test_logit_refuses_alpha(alpha):
    with pytest.raises(ValueError, match=f"0 <= alpha < 0.5, got {alpha}"):
        Logit(alpha).apply({}, jnp.zeros((1, 2)))


# --- actnorm -----------------------------------------------------------------------


def test_actnorm_by_hand():
    x = jnp.ones((2, 3, 5, 1)) * jnp.array([1.0, 2.0])
    bias, log_scale = jnp.array([1.0, -2.0]), jnp.log(jnp.array([3.0, 0.5]))
    z, logdet = bijectors.actnorm_forward(x, bias, log_scale)
    np.testing.assert_allclose(z[0, 0, 0], [6.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(logdet, [15 * math.log(1.5)] * 2, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(64, 4, 4, 3), (256, 5)])
def test_actnorm_init_normalises_its_batch(shape):
    x = 3 * normal(0, *shape) + jnp.arange(shape[-1])
    (z, _), variables = ActNorm().init_with_output(jax.random.key(1), x)
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(z.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axes), 1, atol=1e-5)
    assert set(variables) == {"params"}  # no flag that says "initialised"


def test_actnorm_init_through_the_inverse_normalises_what_comes_out():
    z = 3 * normal(0, 64, 4, 4, 3) + 1
    (x, _), variables = Inverse(ActNorm()).init_with_output(jax.random.key(1), z)
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)
    again, _ = Inverse(ActNorm()).apply(variables, x, method="inverse")
    np.testing.assert_allclose(again, z, atol=1e-4)


def test_actnorm_never_initialises_again():
    x = normal(0, 8, 4)
    variables = ActNorm().init(jax.random.key(1), x)
    restored = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, variables))
    z, logdet = ActNorm().apply(restored, 10 * x + 5)
    expected = bijectors.actnorm_forward(10 * x + 5, **variables["params"])
    np.testing.assert_array_equal(z, expected[0])
    np.testing.assert_array_equal(logdet, expected[1])
    assert abs(float(z.mean())) > 1


def test_a_chain_initialises_each_actnorm_on_what_reaches_it():
    x = jax.random.uniform(jax.random.key(0), (64, 8, 8, 1))
    chain = Chain([Logit(), Squeeze(), ActNorm()])
    (z, _), _ = chain.init_with_output(jax.random.key(1), x)
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std((0, 1, 2)), 1, atol=1e-5)


# --- permutation -------------------------------------------------------------------


def test_permutation_by_hand():
    x = jnp.array([[10.0, 20.0, 30.0]])
    for permutation, expected in (
        (ChannelPermutation((2, 0, 1)), [30, 10, 20]),
        (ChannelPermutation(), [30, 20, 10]),
    ):
        z, logdet = permutation.apply({}, x)
        np.testing.assert_array_equal(z[0], expected)
        np.testing.assert_array_equal(logdet, [0.0])


def test_a_seed_draws_one_permutation():
    first, again = (ChannelPermutation(seed=3).resolve(16) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert sorted(first) == list(range(16))
    assert (first != ChannelPermutation(seed=4).resolve(16)).any()


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1), (1, 2, 3), (0, 1, 2, 3)])
def test_permutation_refuses_what_is_none(order):
    with pytest.raises(ValueError, match="is not a permutation of the 3 channels"):
        ChannelPermutation(order).apply({}, jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="is not a permutation of the 3 channels"):
        ChannelPermutation(order).latent_shape((2, 2, 3))


# --- combinators -------------------------------------------------------------------


class Scale(Bijector):
    """`z = factor * x`: the smallest bijector one may write."""

    factor: float

    def forward(self, x, cond=None):
        logdet = x[0].size * jnp.log(self.factor)
        return self.factor * x, jnp.full(len(x), logdet)

    def inverse(self, z, cond=None):
        logdet = -z[0].size * jnp.log(self.factor)
        return z / self.factor, jnp.full(len(z), logdet)


def test_chain_applies_its_first_bijector_first():
    x = jnp.full((2, 3), 0.5)
    z, logdet = Chain([Scale(2.0), Logit(0.0), Scale(3.0)]).apply({}, x / 4)
    np.testing.assert_allclose(z, 3 * math.log(0.25 / 0.75), rtol=1e-6)
    per_dim = math.log(2) + math.log(1 / (0.25 * 0.75)) + math.log(3)
    np.testing.assert_allclose(logdet, 3 * per_dim, rtol=1e-6)


def test_an_empty_chain_is_the_identity():
    x = normal(0, 2, 3)
    for method in ("forward", "inverse"):
        z, logdet = Chain([]).apply({}, x, method=method)
        np.testing.assert_array_equal(z, x)
        np.testing.assert_array_equal(logdet, [0.0, 0.0])


def test_inverse_swaps_the_directions():
    x = normal(0, 2, 4, 4, 1)
    inverse = Inverse(Chain([Scale(4.0), Squeeze()]))
    z = bijectors.squeeze(4 * x)
    back, logdet = inverse.apply({}, z)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_allclose(logdet, -16 * math.log(4), rtol=1e-6)
    np.testing.assert_array_equal(inverse.apply({}, x, method="inverse")[0], z)


def test_factor_out_keeps_everything_in_order():
    x = normal(0, 2, 4, 4, 8)
    inner = FactorOut(Scale(3.0), keep=1)
    (first, second, final), logdet = FactorOut(inner).apply({}, x)
    np.testing.assert_array_equal(first, x[..., 4:])
    np.testing.assert_array_equal(second, x[..., 1:4])
    np.testing.assert_array_equal(final, 3 * x[..., :1])
    np.testing.assert_allclose(logdet, 16 * math.log(3), rtol=1e-6)
    shapes = ((4, 4, 4), (4, 4, 3), (4, 4, 1))
    assert FactorOut(inner).latent_shape((4, 4, 8)) == shapes
    assert event_size(shapes) == 128


@pytest.mark.parametrize("keep", [0, 4, 5, -1])
def test_factor_out_refuses_to_keep_none_or_all(keep):
    message = f"between 1 and 3 of 4 channels, got {keep}"
    with pytest.raises(ValueError, match=message):
        FactorOut(Logit(), keep).latent_shape((2, 2, 4))
    with pytest.raises(ValueError, match=message):
        FactorOut(Logit(), keep).apply({}, jnp.zeros((1, 2, 2, 4)))


def test_walk_goes_in_the_order_of_forward():
    a, b, c, d = ActNorm(), Squeeze(), ActNorm(), Logit()
    chain = Chain([a, Inverse(b), FactorOut(Chain([c])), d])
    assert list(walk(chain)) == [
        (("bijectors_0",), a),
        (("bijectors_1", "bijector"), b),
        (("bijectors_2", "inner", "bijectors_0"), c),
        (("bijectors_3",), d),
    ]


def test_an_unfinished_bijector_says_what_it_lacks():
    class Unfinished(Bijector):
        pass

    for method in ("forward", "inverse"):
        with pytest.raises(
            NotImplementedError, match=f"Unfinished defines no {method}"
        ):
            Unfinished().apply({}, jnp.zeros((1, 2)), method=method)


def test_float64_events_have_float64_logdets():
    with jax.enable_x64(True):
        x = wide(jnp.full((2, 3), 0.5))
        for bijector in (Logit(), ChannelPermutation(), Chain([])):
            assert bijector.apply({}, x)[1].dtype == jnp.float64


@pytest.mark.parametrize("x", [255.0, -0.5, float("nan")])
def test_logit_names_values_out_of_range(x):
    with pytest.raises(ValueError, match=r"takes values in \[0, 1\], got .*dequantize"):
        Logit().apply({}, jnp.full((2, 3), x))

"""The affine coupling: its law by hand, its errors, and what a user brings."""

import itertools
import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import AffineCoupling, affine_forward, affine_inverse
from flowjax_ood.masks import CouplingMask, broadcast, complementary
from flowjax_ood.models import RealNVP
from flowjax_ood.networks import MLP, Autoencoder, ResNet, ResNetAE
from tests.helpers.generic_variables import generic_variables
from tests.helpers.law_runs import run


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def test_affine_shifts_before_it_scales():
    x, t = jnp.array([[1.0, 5.0]]), jnp.array([[2.0, 7.0]])
    s = jnp.log(jnp.array([[4.0, 9.0]]))
    changed = np.array([True, False])
    z, logdet = affine_forward(x, s, t, changed)
    np.testing.assert_allclose(z, [[12.0, 5.0]], rtol=1e-6)
    np.testing.assert_allclose(logdet, [math.log(4)], rtol=1e-6)
    again, logdet = affine_inverse(z, s, t, changed)
    np.testing.assert_allclose(again, x, rtol=1e-6)
    np.testing.assert_allclose(logdet, [-math.log(4)], rtol=1e-6)


class Constant(nn.Module):
    """Ignores what it sees: s_raw = 1/2 and t = 3 everywhere."""

    @nn.compact
    def __call__(self, x, features, cond=None):
        half = jnp.ones((*x.shape[:-1], features // 2))
        return jnp.concatenate([0.5 * half, 3 * half], axis=-1)


@pytest.mark.parametrize("strategy", ["checkerboard", "channel", "cycle"])
def test_coupling_by_hand(strategy):
    # s = rescale * tanh(s_raw): sign and g of the rescale count, |v| does not
    strategy = masks.strategy(strategy)
    coupling = AffineCoupling(Constant, strategy, 1)
    x = normal(0, 2, 4, 4, 2)
    channels = 1 if strategy is masks.alternate_channel_wise else 2
    rescale = {"g": jnp.full(channels, 0.8), "v": jnp.full(channels, -5.0)}
    variables = {"params": {"rescale": rescale}}
    z, logdet = coupling.apply(variables, x)
    changed = strategy(1, (4, 4, 2)).changed
    s = -0.8 * math.tanh(0.5)
    expected = np.where(changed, (x + 3) * math.exp(s), x)
    np.testing.assert_allclose(z, expected, rtol=1e-6)
    np.testing.assert_allclose(logdet, s * changed.sum(), rtol=1e-6)


def test_rescale_starts_at_one():
    variables = AffineCoupling(Constant).init(jax.random.key(0), normal(0, 2, 4, 4, 3))
    for array in variables["params"]["rescale"].values():
        np.testing.assert_array_equal(array, [1.0, 1.0, 1.0])


class Recorder(nn.Module):
    """Sows what the coupling lets it see."""

    @nn.compact
    def __call__(self, x, features, cond=None):
        self.sow("intermediates", "seen", x)
        return jnp.zeros((*x.shape[:-1], features))


def test_the_st_network_gets_the_seen_part():
    x = normal(0, 2, 4, 4, 4)
    for strategy, expected in (
        (masks.alternate_horizontal, jnp.where(masks.horizontal(x.shape[1:]), x, 0)),
        (masks.cycle, jnp.where(masks.quadrant(x.shape[1:], 0), x, 0)),
        (masks.alternate_channel_wise, x[..., 2:]),
    ):
        coupling = AffineCoupling(Recorder, strategy)
        variables = coupling.init(jax.random.key(0), x)
        params = {"params": variables["params"]}
        _, state = coupling.apply(params, x, mutable=["intermediates"])
        (seen,) = state["intermediates"]["st_net"]["seen"]
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (partial(ResNet, width=4, blocks=1), (4, 4, 1)),
        (partial(ResNet, width=4, blocks=1, norm="none"), (4, 4, 1)),
        (partial(ResNetAE, width=4, blocks=2, latent_dim=2), (4, 4, 1)),
        (partial(Autoencoder, latent_dim=2), (14, 14, 1)),
        (partial(MLP, width=4), (4,)),
    ],
    ids=["resnet", "resnet_bare", "resnet_ae", "autoencoder", "mlp"],
)
def test_zero_init_starts_as_the_identity(net, shape):
    strategy = masks.alternate_tabular if len(shape) == 1 else masks.cycle
    coupling = AffineCoupling(partial(net, zero_init=True), strategy)
    x = normal(0, 2, *shape)

    def start(key, x):
        variables = coupling.init(key, x)
        gradient = jax.grad(lambda v: coupling.apply(v, x)[1].sum())(variables)
        return *coupling.apply(variables, x), gradient["params"]["st_net"]

    z, logdet, gradients = run(start, jax.random.key(0), x)
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(logdet, 0)
    # the head is at zero, but it learns
    gradients = jax.tree.leaves(gradients)
    assert all(np.isfinite(g).all() for g in gradients)
    assert any((g != 0).any() for g in gradients)


def test_the_start_is_not_the_identity_without_zero_init():
    coupling = AffineCoupling(partial(MLP, width=4), masks.alternate_tabular)
    x = normal(0, 2, 4)
    (z, _), _ = coupling.init_with_output(jax.random.key(0), x)
    assert (z != x).any()


# --- what a user brings ------------------------------------------------------------


def diagonal(k, shape):
    """Above the diagonal is seen, for odd k below it."""
    h, w, _ = shape
    upper = np.arange(h)[:, None] < np.arange(w)[None, :]
    return complementary(broadcast(upper ^ (k % 2 == 1), shape))


class Attention(nn.Module):
    """A conditioner: one head of self-attention over the pixels."""

    width: int = 4

    @nn.compact
    def __call__(self, x, features, cond=None):
        b, h, w, c = x.shape
        tokens = nn.Dense(self.width)(x.reshape(b, h * w, c))
        if cond is not None:
            tokens = tokens + nn.Dense(self.width)(cond)[:, None]
        q, k, v = jnp.split(nn.Dense(3 * self.width)(tokens), 3, axis=-1)
        weights = nn.softmax(q @ k.transpose(0, 2, 1))
        return nn.Dense(features)(weights @ v).reshape(b, h, w, features)


@pytest.mark.thorough
def test_a_mask_and_a_conditioner_of_a_user():
    coupling = AffineCoupling(Attention, diagonal, 1)
    x, cond = normal(0, 2, 4, 5, 2), normal(1, 2, 3)
    variables = generic_variables(coupling, np.random.default_rng(0), x, cond)

    def one(x, cond):
        z, logdet = coupling.apply(variables, x[None], cond[None])
        return z.ravel(), (z[0], logdet[0])

    jacobian = jax.vmap(jax.jacfwd(one, has_aux=True))
    jacobians, (z, logdet) = run(jacobian, x, cond)
    determinants = np.linalg.slogdet(jacobians.reshape(2, 40, 40))[1]
    np.testing.assert_allclose(logdet, determinants, atol=1e-5)
    again, _ = coupling.apply(variables, z, cond, method="inverse")
    np.testing.assert_allclose(again, x, atol=1e-5)
    seen = diagonal(1, x.shape[1:]).seen
    assert ((z == x) == seen).all()
    assert (coupling.apply(variables, x, cond + 1)[0] != z).any()


# --- errors ------------------------------------------------------------------------

ODD = np.arange(16).reshape(4, 4, 1) % 2 == 1
ALL = np.ones((4, 4, 1), bool)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (CouplingMask(ODD, ALL), "also sees: not invertible"),
        (CouplingMask(ODD[:2], ~ODD), r"`seen` must be boolean of shape \(4, 4, 1\)"),
        (CouplingMask(ODD, ~ODD[0]), r"`changed` .* got bool \(4, 1\)"),
        (CouplingMask(ODD.astype(float), ~ODD), "boolean .* got float64"),
        (CouplingMask(ODD, ~ODD, "pixel"), "'spatial' or 'channel', got 'pixel'"),
        (CouplingMask(ODD, ~ODD, "channel"), "depend on the channel"),
        (CouplingMask(ALL, ~ALL, "channel"), "seen or changed and some of each"),
        (CouplingMask(~ALL, ~ALL, "channel"), "every channel"),
        (CouplingMask(ODD.tolist(), ~ODD), "`seen` must be a NumPy array.* got list"),
        (CouplingMask(ODD, jnp.array(~ODD)), "`changed` must be a NumPy array"),
        (None, "must return a CouplingMask.* got NoneType"),
        (ODD, "must return a CouplingMask.* got ndarray"),
    ],
)
def test_masks_that_cannot_be(mask, message):
    coupling = AffineCoupling(Constant, lambda k, shape: mask)
    with pytest.raises(ValueError, match=message):
        coupling.latent_shape((4, 4, 1))
    with pytest.raises(ValueError, match=message):
        coupling.init(jax.random.key(0), jnp.zeros((2, 4, 4, 1)))


def by_chance(chance):
    """A strategy with another mask each time, or another layout."""

    def strategy(k, shape):
        left = np.arange(shape[-1]) < 1 + chance.integers(1, shape[-1])
        return complementary(np.broadcast_to(left, shape).copy(), "channel")

    return strategy


def by_turns(layouts):
    half = np.broadcast_to(np.array([True, False]), (4, 4, 2))
    return lambda k, shape: CouplingMask(half, ~half, next(layouts))


@pytest.mark.parametrize(
    ("strategy", "shape"),
    [
        (by_chance(np.random.default_rng(0)), (2, 2, 1000)),
        (by_turns(itertools.cycle(["spatial", "channel"])), (4, 4, 2)),
    ],
    ids=["mask", "layout"],
)
def test_a_strategy_that_answers_differently_each_time_is_refused(strategy, shape):
    """Its forward and its inverse would be of two bijectors."""
    coupling = AffineCoupling(Constant, strategy, 3)
    message = "another mask for coupling 3 each time"
    with pytest.raises(ValueError, match=message):
        coupling.latent_shape(shape)
    with pytest.raises(ValueError, match=message):
        coupling.init(jax.random.key(0), jnp.zeros((1, *shape)))
    with pytest.raises(ValueError, match="another mask for coupling 0 each time"):
        RealNVP(shape, scales=1, couplings=2, width=2, mask=strategy)


def test_the_channels_of_a_vector_are_its_values():
    half = np.array([True, False])
    mask = CouplingMask(half, ~half, "channel")
    assert AffineCoupling(MLP, lambda k, shape: mask).latent_shape((2,)) == (2,)
    mask = CouplingMask(half, ~half & half, "channel")
    with pytest.raises(ValueError, match=r"every channel .* got shape \(2,\)"):
        AffineCoupling(MLP, lambda k, shape: mask).latent_shape((2,))


def test_an_st_network_of_the_wrong_shape():
    class Narrow(nn.Module):
        def __call__(self, x, features, cond=None):
            return x

    message = r"returned \(2, 4, 4, 1\), the coupling needs \(2, 4, 4, 2\)"
    with pytest.raises(ValueError, match=message):
        AffineCoupling(Narrow).init(jax.random.key(0), jnp.zeros((2, 4, 4, 1)))

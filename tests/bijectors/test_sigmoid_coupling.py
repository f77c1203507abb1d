"""SigmoidCoupling: its formula, its bound, and where float32 ends."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.bijectors import SigmoidCoupling
from flowjax_ood.networks import MLP

DIM = 5


class Given(nn.Module):
    """A conditioner that says the same of all events: raw numbers `[s..., t...]`."""

    raw: tuple[float, ...]

    @nn.compact
    def __call__(self, x, features, cond=None):
        return jnp.broadcast_to(
            jnp.asarray(self.raw, x.dtype), (*x.shape[:-1], features)
        )


def given(s, t, scale=2.0):
    # the second half changes: 3 of 5
    net = partial(Given, (*s, *t))
    return SigmoidCoupling(net, masks.alternate_halves, scale=scale)


def events():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, DIM)).astype(np.float32)


@pytest.mark.parametrize("scale", [2.0, 0.5, 7.0])
def test_against_the_formula_in_float64(scale):
    s, t, x = np.array([-3.0, 0.2, 5.0]), np.array([1.0, -2.0, 0.3]), events()
    z, logdet = given(s, t, scale).apply({}, x)
    sigmoid = 1 / (1 + np.exp(-s))
    np.testing.assert_array_equal(z[:, :2], x[:, :2])
    expected = (x[:, 2:].astype(float) + t) * scale * sigmoid
    np.testing.assert_allclose(z[:, 2:], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logdet, np.log(scale * sigmoid).sum(), rtol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_zero_heads_are_the_identity_to_the_last_bit(compiled):
    net = partial(MLP, width=6, zero_init=True)
    coupling = SigmoidCoupling(net, masks.alternate_halves)
    variables = coupling.init(jax.random.key(0), events())
    # nothing to rescale: the network's parameters are all there are
    assert set(variables["params"]) == {"st_net"}
    apply = jax.jit(coupling.apply) if compiled else coupling.apply
    z, logdet = apply(variables, events())
    np.testing.assert_array_equal(z, events())
    np.testing.assert_array_equal(logdet, 0)


@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_the_log_determinant_is_bounded_above_and_reaches_the_bound(scale):
    bound = 3 * math.log(scale)
    net = partial(MLP, width=6)
    coupling = SigmoidCoupling(net, masks.alternate_halves, scale=scale)
    variables = coupling.init(jax.random.key(0), events())
    wild = jax.tree.map(lambda p: 30 * p, variables)
    _, logdet = coupling.apply(wild, events())
    assert (logdet <= bound).all()
    assert logdet.min() < -10
    # s -> +inf: every value is multiplied by the scale
    z, logdet = given((90.0,) * 3, (0.0,) * 3, scale).apply({}, events())
    np.testing.assert_allclose(logdet, bound, rtol=1e-6)
    np.testing.assert_allclose(z[:, 2:], scale * events()[:, 2:], rtol=1e-6)


def test_a_sigmoid_that_underflows_keeps_density_and_gradient():
    coupling = given((-200.0, 0.0, -60.0), (0.0, 0.5, 0.0))
    z, logdet = coupling.apply({}, events())
    assert (z[:, 2] == 0).all()
    np.testing.assert_allclose(logdet, -260 + 2 * math.log(2), rtol=1e-6)
    # what is left of float32 comes back
    back, inverse = coupling.apply({}, z, method="inverse")
    np.testing.assert_allclose(back[:, 4], events()[:, 4], rtol=1e-5)
    np.testing.assert_allclose(inverse, -logdet, rtol=1e-6)

    @jax.grad
    def slope(s):
        log_scale = SigmoidCoupling(partial(Given, ()))._log_scale(s)
        return log_scale.sum()

    np.testing.assert_allclose(slope(jnp.array([-200.0, 200.0])), [1, 0])


def test_s_and_t_are_sown_as_the_map_uses_them():
    s, t = (-1.0, 0.0, 2.0), (0.5, 0.1, -0.2)
    (z, _), sown = given(s, t).apply({}, events(), mutable=["intermediates"])
    seen = {name: value[0] for name, value in sown["intermediates"].items()}
    expected = (seen["x"][:, 2:] + seen["t"]) * np.exp(seen["s"])
    np.testing.assert_allclose(z[:, 2:], expected, rtol=1e-6)
    np.testing.assert_allclose(seen["t"][0], t, rtol=1e-6)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (0.0, "scale must be positive, got 0.0"),
        (-2, "scale must be positive, got -2"),
        (math.nan, "scale must be finite, got nan"),
        ("2", "scale must be a number, got '2'"),
    ],
)
def test_bad_scales(scale, message):
    with pytest.raises(ValueError, match=message):
        SigmoidCoupling(MLP, scale=scale)

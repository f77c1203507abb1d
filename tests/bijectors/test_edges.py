"""Rounding at the ends of a domain, and batches that a layer cannot start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.bijectors import ActNorm, Inverse, Logit, logit_forward, logit_inverse
from flowjax_ood.models import Glow

KEY = jax.random.key(0)

# --- logit -------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("alpha", [0.05, 1e-3])
def test_logit_of_what_its_inverse_gives_is_finite_and_right(alpha):
    """As exactly as x, rounded, says: it is near its ends by its own resolution."""
    z = jnp.array([[-40.0, -30, -18, -14, -8, 0, 8, 12, 14, 15, 16, 17, 18, 30, 40]])
    x, _ = logit_inverse(z, alpha)
    eager, logdet = Logit(alpha).apply({}, x)
    compiled, _ = jax.jit(lambda x: logit_forward(x, alpha))(x)
    p = 1 / (1 + np.exp(-np.asarray(z, np.float64)))
    for again in (eager, compiled):
        assert (np.diff(again) >= 0).all()
        assert again[0, 0] < -16
        assert again[0, -1] > 16
        again = np.asarray(again, np.float64)
        np.testing.assert_allclose(1 / (1 + np.exp(-again)), p, atol=2e-7)
    np.testing.assert_allclose(compiled[0, 3:8], z[0, 3:8], atol=0.02)
    assert np.isfinite(logdet).all()


def test_logit_without_alpha_takes_all_of_the_interval():
    x = jnp.array([[0.0], [1e-12], [0.25], [1.0]])
    z, logdet = logit_forward(x, 0.0)
    tiny, last = np.finfo(np.float32).tiny, 1 - 2.0**-24
    p = np.array([tiny, 1e-12, 0.25, last], np.float64)
    np.testing.assert_allclose(z[:, 0], np.log(p / (1 - p)), rtol=1e-6)
    np.testing.assert_allclose(logdet, -np.log(p * (1 - p)), rtol=1e-6)


@pytest.mark.parametrize(("alpha", "x"), [(0.05, -0.0557), (0.05, 1.0557), (0.0, 1.1)])
def test_logit_beyond_its_domain(alpha, x):
    x = jnp.array([[x]])
    with pytest.raises(ValueError, match=r"got .* \(samples may lie as far out as"):
        Logit(alpha).apply({}, x)
    assert np.isnan(logit_forward(x, alpha)[0]).all()


# --- actnorm -----------------------------------------------------------------------


def spoilt(value):
    """A large batch whose channel 1 alone is of one value."""
    x = jax.random.normal(KEY, (64, 16, 16, 3))
    return x.at[..., 1].set(value)


@pytest.mark.parametrize("value", [0.0, 0.3, -1e4, jnp.nan, jnp.inf])
def test_actnorm_names_the_channel_it_cannot_start_from(value):
    named = f"channel 1 reaches it as {float(np.float32(value)):g} .*eval_shape"
    for layer in (ActNorm(), Inverse(ActNorm())):
        with pytest.raises(ValueError, match=named):
            layer.init(KEY, spoilt(value))


@pytest.mark.parametrize("value", [0.0, 0.3, -1e4])
def test_actnorm_leaves_the_scale_of_such_a_channel_when_traced(value):
    (z, logdet), variables = jax.jit(ActNorm().init_with_output)(KEY, spoilt(value))
    log_scale = variables["params"]["log_scale"]
    assert log_scale[1] == 0
    np.testing.assert_allclose(variables["params"]["bias"][1], -value, rtol=1e-3)
    np.testing.assert_allclose(logdet, [256 * log_scale.sum()] * 64, rtol=1e-6)
    np.testing.assert_allclose(z[..., ::2].std((0, 1, 2)), 1, atol=1e-4)


def test_actnorm_refuses_a_batch_of_one_vector_and_of_none():
    with pytest.raises(ValueError, match="channel 0 reaches it as 2 throughout"):
        ActNorm().init(KEY, jnp.array([[2.0, 3.0]]))
    for init in (ActNorm().init, jax.jit(ActNorm().init)):
        with pytest.raises(ValueError, match=r"is empty: \(0, 4, 4, 2\)"):
            init(KEY, jnp.zeros((0, 4, 4, 2)))


@pytest.mark.parametrize("x", [jnp.ones((1, 3)), jnp.zeros((0, 3))])
def test_actnorm_once_started_takes_any_batch(x):
    variables = ActNorm().init(KEY, jax.random.normal(KEY, (64, 3)))
    z, logdet = ActNorm().apply(variables, x)
    assert z.shape == x.shape
    np.testing.assert_allclose(
        logdet, [variables["params"]["log_scale"].sum()] * len(x)
    )
    back, _ = ActNorm().apply(variables, z, method="inverse")
    np.testing.assert_allclose(back, x, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("stack", ["chain", "scan"])
def test_a_glow_starts_from_data_or_from_shapes(stack):
    flow = Glow((8, 8, 1), scales=1, steps=3, width=3, layers=0, stack=stack)
    blank = jnp.zeros((1, 8, 8, 1))
    with pytest.raises(ValueError, match="channel 0 reaches it as"):
        flow.init(KEY, blank)
    shapes = jax.eval_shape(flow.init, KEY, blank)
    variables = jax.jit(flow.init)(KEY, blank)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
    for path, array in jax.tree_util.tree_leaves_with_path(variables):
        # what rounding leaves of a constant is not normalised, either
        if path[-1].key == "log_scale":
            np.testing.assert_array_equal(array, 0)

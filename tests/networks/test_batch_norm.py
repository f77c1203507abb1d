"""Batch norm: torch's, over the whole batch or by groups, on one device or several."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import RealNVP
from flowjax_ood.models.cifar_resnet import ResNet34
from flowjax_ood.networks import BatchNorm
from flowjax_ood.networks.axes import batch_axis, reducing_over
from flowjax_ood.training.batch_statistics import recompute_batch_stats

KEY = jax.random.key(0)
TRAIN = ["batch_stats"]
# compiled once and run once
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

# --- torch's conventions, by hand -----------------------------------------------------

BATCH = jnp.array([[1.0, 10.0], [3.0, 10.0], [8.0, 40.0]])
# mean 4 and 20; biased variance 26/3 and 200; unbiased 13 and 300


def test_batch_norm_in_training_mode_is_torchs():
    norm = BatchNorm()
    variables = norm.init(KEY, BATCH)
    y, state = norm.apply(variables, BATCH, mutable=["batch_stats"])
    expected = (BATCH - jnp.array([4.0, 20.0])) / jnp.sqrt(jnp.array([26 / 3, 200.0]))
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    stats = state["batch_stats"]
    np.testing.assert_allclose(stats["mean"], [0.4, 2.0], rtol=1e-6)
    np.testing.assert_allclose(stats["var"], [0.9 + 1.3, 0.9 + 30.0], rtol=1e-6)


def test_batch_norm_in_evaluation_mode_uses_the_running_statistics():
    norm = BatchNorm()
    variables = {
        "params": {"scale": jnp.array([2.0, 1.0]), "bias": jnp.array([0.5, 0.0])},
        "batch_stats": {"mean": jnp.array([1.0, 0.0]), "var": jnp.array([4.0, 100.0])},
    }
    y = norm.apply(variables, BATCH)
    expected = np.array([[0.5, 1.0], [2.5, 1.0], [7.5, 4.0]])
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_batch_norm_starts_from_mean_zero_and_variance_one():
    variables = BatchNorm().init(KEY, 7 * BATCH)
    stats = variables["batch_stats"]
    np.testing.assert_array_equal(stats["mean"], [0.0, 0.0])
    np.testing.assert_array_equal(stats["var"], [1.0, 1.0])
    assert set(variables) == {"params", "batch_stats"}


def test_batch_norm_pools_over_positions_and_sows_the_moments():
    x = jax.random.normal(KEY, (4, 3, 5, 2))
    norm = BatchNorm()
    variables = norm.init(KEY, x)
    y, state = norm.apply(variables, x, mutable=["batch_stats", "batch_moments"])
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, rtol=1e-4)
    moments = state["batch_moments"]
    np.testing.assert_allclose(moments["mean"], x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(moments["var"], x.var((0, 1, 2), ddof=1), rtol=1e-5)


def test_batch_norm_of_one_value_stays_finite():
    x = jnp.ones((1, 3))
    y, state = BatchNorm().apply(BatchNorm().init(KEY, x), x, mutable=["batch_stats"])
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_allclose(state["batch_stats"]["var"], [0.9] * 3, rtol=1e-6)


def test_batch_norm_keeps_statistics_in_float32():
    x = jnp.asarray(BATCH, jnp.bfloat16)
    y, state = BatchNorm().apply(BatchNorm().init(KEY, x), x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves(state)} == {np.dtype("float32")}


def test_batch_norm_rounds_once():
    """In bfloat16 it answers what it would in float32, rounded."""
    x = jnp.asarray(100 + jax.random.normal(KEY, (50, 3)), jnp.bfloat16)
    variables = BatchNorm().init(KEY, x)
    rounded, _ = BatchNorm().apply(variables, x, mutable=["batch_stats"])
    wide = x.astype(jnp.float32)
    exact, _ = BatchNorm().apply(variables, wide, mutable=["batch_stats"])
    np.testing.assert_array_equal(rounded, exact.astype(jnp.bfloat16))


# --- groups ---------------------------------------------------------------------------

X = 3 + 2 * jax.random.normal(KEY, (12, 4, 4, 3))


def step(x, group=0, mutable=TRAIN, **variables):
    """`(y, updates)` in training mode."""
    norm = BatchNorm(group=group)
    return norm.apply(norm.init(KEY, x) | variables, x, mutable=mutable)


@pytest.mark.parametrize("group", [1, 3, 4, 6])
def test_a_group_is_normalised_as_a_batch_of_its_own(group):
    y, state = step(X, group)
    alone = [step(X[i : i + group]) for i in range(0, len(X), group)]
    np.testing.assert_allclose(y, jnp.concatenate([y for y, _ in alone]), atol=1e-5)
    assert np.abs(y - step(X)[0]).max() > 0.01
    # running statistics move by the mean over groups
    for name in ("mean", "var"):
        moved = [s["batch_stats"][name] for _, s in alone]
        found = state["batch_stats"][name]
        np.testing.assert_allclose(found, np.mean(moved, 0), rtol=1e-5)


def test_one_group_is_the_whole_batch():
    y, state = step(X, len(X))
    whole, expected = step(X)
    np.testing.assert_allclose(y, whole, atol=2e-6)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-6), dict(state), dict(expected)
    )


def loss(params, x, group=0, weights=None):
    """A scalar that depends on every output, not on their mean and variance alone."""
    y, _ = BatchNorm(group=group).apply({"params": params, **START}, x, mutable=TRAIN)
    return jnp.mean(jnp.sin(y) * weights)


START = {"batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
PARAMS = {"scale": jnp.array([1.0, 2.0, -1.0]), "bias": jnp.array([0.0, 1.0, 2.0])}


def float64(tree):
    return jax.tree.map(partial(jnp.asarray, dtype=jnp.float64), tree)


def test_gradients_of_groups_are_those_of_batches_of_their_own():
    with jax.enable_x64(True):
        params, x = float64((PARAMS, X))
        w = jax.random.normal(KEY, x.shape, jnp.float64)
        found = jax.grad(loss, (0, 1))(params, x, 4, w)

        def apart(params, x):
            parts = [loss(params, x[i : i + 4], 0, w[i : i + 4]) for i in (0, 4, 8)]
            return jnp.mean(jnp.stack(parts))

        expected = jax.grad(apart, (0, 1))(params, x)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-14), found, expected
        )


@pytest.mark.parametrize("group", [0, 1, 3, 12])
def test_moments_that_are_sown_are_the_whole_batchs(group):
    _, state = step(X, group, ["batch_stats", "batch_moments"])
    moments = state["batch_moments"]
    np.testing.assert_allclose(moments["mean"], X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(moments["var"], X.var((0, 1, 2), ddof=1), rtol=1e-5)


class Two(nn.Module):
    """Vectors through batch norm, a map that is not linear, and batch norm."""

    group: int = 0

    @nn.compact
    def __call__(self, x):
        h = jnp.sin(BatchNorm(group=self.group, name="first")(x))
        return BatchNorm(group=self.group, name="second")(h)


@pytest.mark.parametrize("group", [0, 2, 4])
def test_recomputed_statistics_are_those_of_what_training_saw(group):
    """Of vectors, where a group has so few values that its own variance is far off."""
    x = 5 + jax.random.normal(KEY, (6, 8, 3))
    net = Two(group)
    variables = net.init(KEY, x[0])
    found = recompute_batch_stats(net, variables, list(x))["batch_stats"]
    size = group or 8
    parts = np.float64(x).reshape(-1, size, 3)
    spread = parts.var(1, keepdims=True)
    h = np.sin((parts - parts.mean(1, keepdims=True)) / np.sqrt(spread + 1e-5))
    for name, seen in (("first", np.float64(x)), ("second", h.reshape(6, 8, 3))):
        # E[v] + E[m^2] - E[m]^2 over batches, v unbiased
        expected = seen.var(1, ddof=1).mean(0) + seen.mean(1).var(0)
        layer = found[name]
        np.testing.assert_allclose(layer["var"], expected, rtol=1e-5)
        np.testing.assert_allclose(
            layer["mean"], seen.mean((0, 1)), rtol=1e-5, atol=1e-6
        )


def test_init_takes_any_number_of_examples():
    variables = BatchNorm(group=4).init(KEY, X[:1])
    y = BatchNorm(group=4).apply(variables, X[:3])
    np.testing.assert_allclose(y, X[:3] / np.sqrt(1 + 1e-5), rtol=1e-6)


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"groups of 5 .* does not divide a batch of 12"
    ):
        step(X, 5)
    with pytest.raises(ValueError, match="0 for the whole batch, got -1"):
        step(X, -1)


@pytest.mark.parametrize("st_net", ["resnet", "resnet_ae"])
def test_every_layer_of_a_flow_has_the_group(st_net):
    """Two groups pass a flow as two batches do."""
    arguments = {"scales": 1, "width": 2, "blocks": 2, "latent_dim": 3}
    arguments |= {"couplings": 2, "st_net": st_net}
    x = jax.random.uniform(KEY, (4, 4, 4, 1))
    whole = RealNVP((4, 4, 1), **arguments)
    variables = quick(whole.init)(KEY, x)

    def log_prob(flow, x):
        apply = partial(flow.apply, method="log_prob", mutable=TRAIN)
        return quick(apply)(variables, x)[0]

    found = log_prob(RealNVP((4, 4, 1), norm_group=2, **arguments), x)
    expected = jnp.concatenate([log_prob(whole, x[:2]), log_prob(whole, x[2:])])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.abs(found - log_prob(whole, x)).max() > 0.1


def test_every_layer_of_a_classifier_has_the_group():
    x = jax.random.uniform(KEY, (4, 8, 8, 3))
    whole = ResNet34(blocks=(1, 1), widths=(2, 4))
    variables = quick(whole.init)(KEY, x)

    def logits(net, x):
        return quick(partial(net.apply, mutable=TRAIN))(variables, x)[0]

    found = logits(whole.clone(norm_group=2), x)
    expected = jnp.concatenate([logits(whole, x[:2]), logits(whole, x[2:])])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(found - logits(whole, x)).max() > 0.01


def test_groups_of_no_batch_norm_are_refused():
    with pytest.raises(ValueError, match="norm_group=2 is of norm='batch'"):
        RealNVP((4, 4, 1), norm="none", norm_group=2)
    with pytest.raises(ValueError, match="got -3"):
        RealNVP((4, 4, 1), norm_group=-3)


# --- a batch spread over an axis ------------------------------------------------------


def spread(function, *arrays):
    """`function` of the four parts of arrays, which reduce over them; stacked."""

    def local(*parts):
        with reducing_over("data"):
            return function(*parts)

    parts = [a.reshape(4, len(a) // 4, *a.shape[1:]) for a in arrays]
    return jax.vmap(local, axis_name="data")(*parts)


@pytest.mark.parametrize("group", [0, 3])
def test_parts_of_a_batch_are_normalised_as_the_batch(group):
    """Outputs, statistics and gradients, as a step averages those, in float64."""
    with jax.enable_x64(True):
        params, x = float64((PARAMS, X))
        w = jax.random.normal(KEY, x.shape, jnp.float64)

        def both(x, w):
            variables = {"params": params, **START}
            norm = BatchNorm(group=group)
            mutable = ["batch_stats", "batch_moments"]
            y, state = norm.apply(variables, x, mutable=mutable)
            by_params, by_x = jax.grad(loss, (0, 1))(params, x, group, w)
            return y, dict(state), by_params, by_x

        y, state, by_params, by_x = both(x, w)
        parts = spread(both, x, w)
        agree = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-13)
        agree(parts[0].reshape(x.shape), y)
        # of the mean over parts of their losses
        agree(parts[3].reshape(x.shape) / 4, by_x)
        for found, expected in ((parts[1], state), (parts[2], by_params)):
            jax.tree.map(lambda a, b: agree(a.mean(0), b), found, expected)
        if not group:
            jax.tree.map(lambda a: agree(a, np.broadcast_to(a[:1], a.shape)), parts[1])


def test_parts_far_from_zero_keep_their_variance():
    """The mean of squares less the square of the mean would be rounding errors."""
    x = jnp.asarray(np.float64(X) + 1e4, jnp.float32)
    y = spread(lambda x: step(x)[0], x).reshape(x.shape)
    wide = np.float64(x)
    mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
    np.testing.assert_allclose(y, (wide - mean) / np.sqrt(var + 1e-5), atol=5e-3)
    assert np.abs(y).max() > 2


def test_without_a_word_a_part_is_a_batch():
    found = jax.vmap(lambda x: step(x)[0], axis_name="data")(X.reshape(4, 3, 4, 4, 3))
    np.testing.assert_allclose(found.reshape(X.shape), step(X, 3)[0], atol=1e-5)


def test_groups_divide_the_part_of_each_device():
    with pytest.raises(ValueError, match=r"groups of 4 .* on each device of 3"):
        spread(lambda x: step(x, 4)[0], X)


def test_the_axis_is_that_of_the_innermost_and_gone_afterwards():
    assert batch_axis() is None
    with reducing_over("a"):
        with reducing_over(None):
            assert batch_axis() is None
        assert batch_axis() == "a"
    assert batch_axis() is None
    with pytest.raises(KeyError), reducing_over("a"):
        raise KeyError
    assert batch_axis() is None

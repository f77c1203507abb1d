"""Batch norm by groups of a batch ("ghost batch normalisation")."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.evaluation.batch_statistics import recompute_batch_stats
from flowjax_ood.models import RealNVP
from flowjax_ood.models.cifar_resnet import ResNet34
from flowjax_ood.networks import BatchNorm
from tests.helpers.norm_cases import KEY, PARAMS, TRAIN, X, float64, loss, quick, step


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
    with pytest.raises(ValueError, match="got norm_group=-3"):
        RealNVP((4, 4, 1), norm_group=-3)

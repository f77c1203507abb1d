"""Recomputed batch-norm statistics: exact for one batch, pooled over several."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood import masks
from flowjax_ood.evaluation.batch_statistics import recompute_batch_stats
from flowjax_ood.models import RealNVP
from tests.helpers.tiny_run import (
    KEY,
    assert_close,
    assert_same,
    dequantized,
    images,
    tiny,
    train,
)

SIZE = 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A flow whose running statistics are mostly still those it began with."""
    run = train(tmp_path_factory.mktemp("run"), 2, tiny("light batch"))
    return tiny("light batch").flow, run.state.variables()


def batches(count: int, size: int = SIZE) -> list[jax.Array]:
    raw = images(count * size).reshape(count, size, 4, 4, 1)
    return [dequantized(b, jax.random.fold_in(KEY, i)) for i, b in enumerate(raw)]


def layers(stats, path=()):
    """`{path: {"mean", "var"}}` of every batch-norm layer."""
    if set(stats) == {"mean", "var"}:
        return {path: jax.tree.map(np.float64, dict(stats))}
    found = {}
    for name, child in stats.items():
        found |= layers(child, (*path, name))
    return found


@pytest.mark.thorough
def test_one_batch_gives_its_own_moments(trained):
    """At the first layer: of the logits the first coupling sees, zeros elsewhere."""
    flow, variables = trained
    (x,) = batches(1)
    p = 0.05 + 0.9 * np.float64(x)
    seen = masks.strategy("checkerboard")(0, (4, 4, 1)).seen
    h = (np.log(p) - np.log1p(-p)) * seen
    found = recompute_batch_stats(flow, variables, [x])["batch_stats"]
    first = layers(found)["bijector", "bijectors_1", "st_net", "norm"]
    np.testing.assert_allclose(first["mean"], [h.mean()], rtol=1e-5)
    np.testing.assert_allclose(first["var"], [h.var(ddof=1)], rtol=1e-5)


@pytest.mark.thorough
def test_several_batches_are_pooled(trained):
    flow, variables = trained
    moments = []
    for x in batches(5):
        _, updates = flow.apply(variables, x, mutable=["batch_stats", "batch_moments"])
        moments.append(layers(updates["batch_moments"]))
    found = layers(
        recompute_batch_stats(flow, variables, batches(5))["batch_stats"],
    )
    assert len(found) == 2
    for path, layer in found.items():
        mean = np.stack([m[path]["mean"] for m in moments])
        var = np.stack([m[path]["var"] for m in moments])
        np.testing.assert_allclose(layer["mean"], mean.mean(0), rtol=1e-4, atol=1e-6)
        expected = var.mean(0) + (mean**2).mean(0) - mean.mean(0) ** 2
        np.testing.assert_allclose(layer["var"], expected, rtol=1e-4)


def test_pooling_survives_means_far_from_zero():
    """The spread of the means is a small difference of large squares."""

    class Shifted(nn.Module):
        @nn.compact
        def __call__(self, x):
            mean = self.variable("batch_stats", "mean", jnp.zeros, ())
            self.variable("batch_stats", "var", jnp.ones, ())
            if self.is_mutable_collection("batch_moments"):
                last = {"reduce_fn": lambda previous, new: new}
                self.sow("batch_moments", "mean", x.mean(), **last)
                self.sow("batch_moments", "var", x.var(ddof=1), **last)
            return x - mean.value

    means = [4000.0, 4000.5, 4001.0]
    found = recompute_batch_stats(
        Shifted(),
        {"batch_stats": {"mean": jnp.zeros(()), "var": jnp.ones(())}},
        [jnp.full(4, m) for m in means],
    )["batch_stats"]
    np.testing.assert_allclose(found["mean"], 4000.5)
    np.testing.assert_allclose(found["var"], np.var(means), rtol=1e-6)


def test_parameters_stay(trained):
    flow, variables = trained
    before = jax.device_get(variables)
    found = recompute_batch_stats(flow, variables, batches(2))
    assert_same(jax.device_get(variables), before)
    assert_same(jax.device_get(found["params"]), before["params"])
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, variables)
    leaves = jax.tree.leaves(found["batch_stats"])
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


@pytest.mark.thorough
def test_evaluation_comes_close_to_training_mode(trained):
    """With recomputed statistics it does; with the running ones of a short run not."""
    flow, variables = trained
    fresh = recompute_batch_stats(flow, variables, batches(2, 32))
    bits, stale, exact = [], [], []
    for x in batches(2, 32):
        bits.append(flow.apply(fresh, x, method="bits_per_dim"))
        stale.append(flow.apply(variables, x, method="bits_per_dim"))
        found, _ = flow.apply(
            variables, x, method="bits_per_dim", mutable=["batch_stats"]
        )
        exact.append(found)
    bits, stale, exact = np.mean(bits), np.mean(stale), np.mean(exact)
    assert abs(bits - exact) < 0.05
    assert abs(stale - exact) > 1.0


def test_batches_are_placed(trained):
    flow, variables = trained
    placed = []
    found = recompute_batch_stats(
        flow, variables, batches(3), place=lambda x: placed.append(x.shape) or x
    )
    assert placed == [(SIZE, 4, 4, 1)] * 3
    assert_close(found, recompute_batch_stats(flow, variables, batches(3)))


def conditional():
    """A conditional flow with batch norm behind the condition, and drawn parameters."""
    flow = RealNVP((4, 4, 1), scales=1, couplings=2, width=2, blocks=1)
    cond = jax.random.normal(KEY, (SIZE, 3))
    quick = {"xla_backend_optimization_level": 0}
    variables = jax.jit(flow.init, compiler_options=quick)(KEY, batches(1)[0], cond)
    return flow, variables, cond


@pytest.mark.thorough
def test_the_condition_of_a_batch_is_given_to_the_flow():
    flow, variables, cond = conditional()
    (x,) = batches(1)
    placed = []
    found = recompute_batch_stats(
        flow, variables, [(x, cond)], lambda a: placed.append(a.shape) or a
    )
    assert placed == [x.shape, cond.shape]
    collections = ["batch_stats", "batch_moments"]
    _, updates = flow.apply(variables, x, cond, mutable=collections)
    expected = layers(updates["batch_moments"])
    for path, layer in layers(found["batch_stats"]).items():
        for name in ("mean", "var"):
            np.testing.assert_allclose(
                layer[name], expected[path][name], rtol=1e-4, atol=1e-5
            )
    other = recompute_batch_stats(flow, variables, [(x, -cond)])
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), found["batch_stats"], other["batch_stats"]
    )
    assert max(jax.tree.leaves(moved)) > 0.01


def test_batches_that_are_no_pairs_are_refused(trained):
    (x,) = batches(1)
    with pytest.raises(ValueError, match=r"pair \(x, cond\), got a tuple of 3"):
        recompute_batch_stats(*trained, [(x, x, x)])


def test_without_batch_norm_nothing_is_read():
    variables = tiny("light").state.variables()

    def never():
        raise AssertionError("a batch was drawn")
        yield

    assert recompute_batch_stats(tiny("light").flow, variables, never()) is variables


def test_no_batches(trained):
    with pytest.raises(ValueError, match="at least one batch, got none"):
        recompute_batch_stats(*trained, [])


def test_batches_of_several_sizes_are_refused(trained):
    with pytest.raises(ValueError, match=r"batches of \[3, 8\] images"):
        recompute_batch_stats(*trained, [batches(1)[0], batches(1)[0][:3]])


def test_layers_that_do_not_tell_their_moments_are_refused():
    """Flax's own batch norm sows nothing: its statistics would be lost."""
    layer = nn.BatchNorm(use_running_average=True)
    x = batches(1)[0]
    variables = layer.init(KEY, x)
    with pytest.raises(ValueError, match=r"does not sow .* use networks.BatchNorm"):
        recompute_batch_stats(layer, variables, [x])

"""The training step: pure, its loss and noise what they are said to be."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import ConditionalNormal
from flowjax_ood.models import RealNVP
from flowjax_ood.training.augment import crop_flip
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.state import create_state, parameter_count
from flowjax_ood.training.step import make_train_step
from tests.helpers.tiny_run import (
    BATCH,
    KEY,
    SHAPE,
    Tiny,
    assert_close,
    assert_same,
    batch,
    dequantized,
    images,
    tiny,
    tiny_flow,
)


def compiled(run: Tiny):
    # not donated: tests look at the old state
    return jax.jit(run.step)


def gradients(norm: str):
    """The gradient of one step: what plain gradient descent subtracts."""
    flow, optimizer = tiny_flow(norm), optax.sgd(1.0)
    state = tiny(norm).initial()
    state = state.replace(opt_state=optimizer.init(state.params))
    new, metrics = jax.jit(make_train_step(Likelihood(flow), optimizer))(
        state, batch(), KEY
    )
    grads = jax.tree.map(jnp.subtract, state.params, new.params)
    return state, new, jax.device_get(grads), metrics


def noise_free_of_the_batch(index, step=0):
    """The documented noise: of `(key, step, index)` alone."""
    keys = example_keys(jax.random.fold_in(KEY, step), jnp.asarray(index))
    return dequantize(jnp.asarray(images()[index]), keys)


@pytest.mark.thorough
def test_same_inputs_same_outputs_and_nothing_changed():
    run = tiny()
    step, before = compiled(run), batch()
    first = step(run.state, before, KEY)
    second = step(run.state, before, KEY)
    assert_same(jax.device_get(first), jax.device_get(second))
    assert_same(run.state, jax.device_get(run.initial()))
    assert_same(before, batch())
    assert int(first[0].step) == 1
    assert first[0].step.dtype == jnp.int32


def test_the_loss_is_the_mean_negative_log_likelihood():
    run = tiny()
    step = compiled(run)
    state, index = run.state, np.array([3, 1, 30, 7, 12, 5, 39, 0])
    for number in range(3):
        x = noise_free_of_the_batch(index, number)
        variables = {"params": state.params}
        parts = run.flow.apply(variables, x, method="log_prob_parts")
        log_prob, dims = np.float64(parts.log_prob), 16
        state, metrics = step(state, batch(index), KEY)
        expected = {
            "loss": -log_prob.mean(),
            "bits_per_dim": 8 - log_prob.mean() / (dims * np.log(2)),
            "bits_per_dim_prior": 8 - np.mean(parts.log_pz) / (dims * np.log(2)),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-5, atol=1e-5)


def test_the_order_of_the_batch_does_not_matter():
    run = tiny()
    step = compiled(run)
    order = np.random.default_rng(0).permutation(BATCH)
    new, metrics = step(run.state, batch(), KEY)
    permuted, permuted_metrics = step(run.state, batch(order), KEY)
    assert_close(permuted_metrics, metrics)
    # Adam's first step is the sign of the gradient: compare its moments
    assert_close(permuted.opt_state[2].mu, new.opt_state[2].mu, atol=1e-5)


def test_noise_depends_on_key_step_and_index():
    run = tiny()
    step = compiled(run)
    same = np.repeat(images()[:1], BATCH, axis=0)

    def loss(key=KEY, at=0, first=0):
        index = np.arange(first, first + BATCH, dtype=np.int32)
        state = run.state.replace(step=np.int32(at))
        return float(step(state, {"image": same, "index": index}, key)[1]["loss"])

    losses = [loss(), loss(key=jax.random.fold_in(KEY, 1)), loss(at=1), loss(first=1)]
    assert len(set(losses)) == 4
    assert loss() == losses[0]


def test_metrics_are_finite_scalars():
    _, metrics = compiled(tiny())(tiny().state, batch(), KEY)
    assert set(metrics) == {"loss", "bits_per_dim", "bits_per_dim_prior", "grad_norm"}
    for value in metrics.values():
        assert value.shape == ()
        assert np.isfinite(value)


def test_gradients_vanish_only_where_they_should():
    """Everything learns, but the sign-only `v` of a coupling's rescaling."""
    _, new, grads, metrics = gradients("none")
    flat = jax.tree_util.tree_leaves_with_path(grads)
    names = {jax.tree_util.keystr(p, simple=True, separator="."): g for p, g in flat}
    still = {name for name, g in names.items() if not g.any()}
    assert still == {f"bijector.bijectors_{k}.rescale.v" for k in (1, 2)}
    norm = np.sqrt(sum((np.float64(g) ** 2).sum() for g in names.values()))
    np.testing.assert_allclose(metrics["grad_norm"], norm, rtol=1e-4)
    # changing the length of a weight-normed direction changes nothing
    for name, g in names.items():
        if name.endswith("conv.v"):
            v = dict(zip(names, jax.tree.leaves(new.params), strict=True))[name] + g
            along = np.abs((v * g).sum((0, 1, 2)))
            assert (along <= 1e-5 * (1 + np.abs(v * g).sum((0, 1, 2)))).all()


@pytest.mark.thorough
def test_batch_statistics_move_with_batch_norm():
    """By a tenth of the way to the batch's own, in training mode."""
    state, new, _, _ = gradients("batch")
    x = noise_free_of_the_batch(np.arange(BATCH))
    _, updates = tiny_flow("batch").apply(
        state.variables(), x, mutable=["batch_stats", "batch_moments"]
    )
    expected = jax.tree.map(
        lambda old, now: 0.9 * old + 0.1 * now,
        state.batch_stats,
        updates["batch_moments"],
    )
    assert_close(new.batch_stats, expected)
    before, after = jax.tree.leaves(state.batch_stats), jax.tree.leaves(new.batch_stats)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_no_batch_statistics_without_batch_norm():
    new, _ = compiled(tiny())(tiny().state, batch(), KEY)
    assert new.batch_stats == {}
    assert set(new.variables()) == {"params"}


def test_averaged_parameters():
    run = tiny("light", ema_decay=0.75)
    step = compiled(run)
    state, expected = run.state, run.state.params
    assert_same(state.ema, state.params)
    for decay in (0.1, 2 / 11, 3 / 12):  # the warm-up of the average
        state, _ = step(state, batch(), KEY)
        expected = jax.tree.map(
            lambda e, p, d=decay: d * e + (1 - d) * p, expected, state.params
        )
    state = state.replace(step=jnp.int32(100), ema=expected)
    state, _ = step(state, batch(), KEY)
    expected = jax.tree.map(lambda e, p: 0.75 * e + 0.25 * p, expected, state.params)
    assert_close(state.ema, expected)
    assert state.variables()["params"] is state.ema
    assert state.variables(average=False)["params"] is state.params


@pytest.mark.parametrize("averaging", [True, False])
def test_averaging_must_fit_the_state(averaging):
    """Otherwise the initial parameters would be taken for the average."""
    flow, optimizer = tiny_flow("light"), optax.sgd(1.0)
    state = tiny("light", ema_decay=0.75 if averaging else 0.0).state
    step = make_train_step(
        Likelihood(flow), optimizer, ema_decay=0.0 if averaging else 0.9
    )
    with pytest.raises(ValueError, match=rf"create_state\(average={not averaging}\)"):
        step(state, batch(), KEY)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_bad_decays_are_refused(decay):
    with pytest.raises(ValueError, match=f"ema_decay.*{decay}"):
        make_train_step(Likelihood(tiny_flow()), optax.sgd(1.0), ema_decay=decay)


@pytest.mark.thorough
def test_dropout_keys_differ_by_step_and_by_part_of_the_batch():
    """Devices that hold parts of a batch must not drop the same units, and no key of
    the pixels' noise is used again."""
    used = []

    class Recorder(nn.Module):
        @nn.compact
        def __call__(self, x, features, cond=None):
            # the key is no tracer, as the gradient is not taken with respect to it
            data = jax.random.key_data(self.scope.rngs["dropout"].rng)
            used.append(tuple(data.tolist()))
            return nn.Dense(features)(x)

    flow = RealNVP(SHAPE, scales=1, couplings=2, st_net=Recorder)
    optimizer = optax.sgd(0.1)
    variables = flow.init({"params": KEY, "dropout": KEY}, dequantized(images(8)))
    state = tiny("light").state.replace(
        params=variables["params"], opt_state=optimizer.init(variables["params"])
    )
    step = make_train_step(Likelihood(flow), optimizer)

    def key(at=0, first=0):
        used.clear()
        index = np.arange(first, first + BATCH, dtype=np.int32)
        step(state.replace(step=jnp.int32(at)), batch() | {"index": index}, KEY)
        return used[0]

    keys = {key(), key(at=1), key(at=2), key(first=BATCH)}
    assert len(keys) == 4
    assert key() == key()
    for at in range(3):
        noise = example_keys(jax.random.fold_in(KEY, at), jnp.arange(1000))
        assert keys.isdisjoint(map(tuple, jax.random.key_data(noise).tolist()))


def test_parameters_are_counted_without_running_statistics():
    with_norm, without = tiny("batch").state, tiny().state
    norms = sum(p.size for p in jax.tree.leaves(with_norm.batch_stats))
    # a scale and a bias for every mean and variance
    assert parameter_count(with_norm.params) == parameter_count(without.params) + norms


# --- conditional flows --------------------------------------------------------------


@pytest.mark.thorough
def test_the_condition_reaches_the_loss():
    flow = tiny_flow("light").clone(base=ConditionalNormal())
    optimizer = optax.sgd(1.0)
    cond = np.eye(2, dtype=np.float32)[np.arange(BATCH) % 2]
    x = dequantized(images(BATCH))
    state = create_state(flow, optimizer, jax.random.key(0), x, cond)
    step = jax.jit(make_train_step(Likelihood(flow), optimizer))
    for number in range(2):
        x = noise_free_of_the_batch(np.arange(BATCH), number)
        log_prob = np.float64(flow.apply({"params": state.params}, x, cond))
        before = state
        state, metrics = step(state, batch() | {"cond": cond}, KEY)
        np.testing.assert_allclose(metrics["loss"], -log_prob.mean(), rtol=1e-5)
    # the images of the classes differ, and so do the densities they end up with
    moved = jax.tree.map(jnp.subtract, before.params, state.params)["base"]
    for layer in moved.values():
        assert (layer["kernel"][0] != layer["kernel"][1]).all()
    other, _ = step(before, batch() | {"cond": cond[::-1]}, KEY)
    means, others = (s.params["base"]["mean"]["kernel"] for s in (state, other))
    assert (means != others).all()
    with pytest.raises(ValueError, match=r"needs cond \[B, K\], got None"):
        step(before, batch(), KEY)
    with pytest.raises(ValueError, match="one row for each of the 8 events"):
        step(before, batch() | {"cond": cond[:4]}, KEY)


def test_a_flow_without_use_for_the_condition_trains_the_same_bit_for_bit():
    run = tiny("light")
    step = compiled(run)
    cond = np.ones((BATCH, 2), np.float32)
    assert_same(
        jax.device_get(step(run.state, batch() | {"cond": cond}, KEY)),
        jax.device_get(step(run.state, batch(), KEY)),
    )


# --- random crops and flips: of which images, how often, and by whose key -------------


def pictures(count=5, size=(6, 7)):
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (count, *size, 3), np.uint8)


def keys(count, seed=0):
    key = jax.random.key(seed, impl="threefry2x32")
    return example_keys(key, jnp.arange(count))


def possible(image, padding):
    """All windows, each with its mirror image: `[(2 padding + 1)^2, 2, H, W, C]`."""
    h, w, _ = image.shape
    wide = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    windows = [
        wide[r : r + h, c : c + w]
        for r in range(2 * padding + 1)
        for c in range(2 * padding + 1)
    ]
    return np.stack([[w, w[:, ::-1]] for w in windows])


def test_every_window_and_its_mirror_image_is_as_likely():
    padding, count = 1, 3600
    one = pictures(1)
    many = jax.jit(partial(crop_flip, padding=padding))(
        jnp.repeat(one, count, 0), keys(count)
    )
    assert many.dtype == jnp.uint8
    known = possible(one[0], padding).reshape(18, -1)
    which = (np.asarray(many).reshape(count, 1, -1) == known).all(-1)
    # each is one of them, and of no two the same
    np.testing.assert_array_equal(which.sum(1), 1)
    expected = count / 18
    # chi-squared with 17 degrees of freedom: 48 is one in ten thousand
    assert ((which.sum(0) - expected) ** 2 / expected).sum() < 48


def test_an_image_depends_on_its_key_alone():
    crop = jax.jit(crop_flip)
    whole = crop(pictures(), keys(5))
    for k in range(5):
        one = crop(pictures()[k : k + 1], keys(5)[k : k + 1])
        np.testing.assert_array_equal(one[0], whole[k])
    np.testing.assert_array_equal(crop(pictures(), keys(5)), whole)
    assert (crop(pictures(), keys(5, seed=1)) != whole).any()
    for image, found in zip(pictures(), np.asarray(whole), strict=True):
        assert (possible(image, 4) == found).all((2, 3, 4)).any()


@pytest.mark.thorough
def test_without_padding_it_flips():
    given = pictures(50)
    found = np.asarray(crop_flip(given, keys(50), padding=0))
    flipped = (found == given[:, :, ::-1]).all((1, 2, 3))
    assert ((found == given).all((1, 2, 3)) != flipped).all()
    assert 10 < flipped.sum() < 40


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="-1"):
        crop_flip(pictures(), keys(5), padding=-1)

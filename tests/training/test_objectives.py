"""Negative training: the objective by its formula, and what a batch holds."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import LogProbParts
from flowjax_ood.runtime.parallel import AXIS
from flowjax_ood.training.batches import batches_with_negatives, image_batches
from flowjax_ood.training.objectives import (
    Likelihood,
    LikelihoodAndReconstruction,
    Negative,
    negative_loss,
)
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.tiny_run import (
    BATCH,
    KEY,
    SHAPE,
    assert_close,
    dequantized,
    images,
    tiny_flow,
)

# an image to learn and a negative by turns; of the negatives, two are above -100
LL = np.float32([-3, -40, -7, -100, -5, -99, -1, -250])
NEGATIVE = np.tile([False, True], 4)
NLL = 4.0  # mean of 3, 7, 5, 1
# in place of a flow: images of four values
FOUR = SimpleNamespace(dims=4)
# threshold -> (N, loss)
CASES = {
    -30.0: ([], NLL),
    -100.0: ([1, 5], 0.5 * (NLL - 69.5)),  # not at the threshold: above it
    -120.0: ([1, 3, 5], 0.5 * (NLL - 239 / 3)),
    -1e4: ([1, 3, 5, 7], 0.5 * (NLL - 489 / 4)),
}


@pytest.mark.parametrize(
    "made", [Likelihood, lambda f, bins: Negative(f, -9.0, bins=bins)]
)
def test_pixels_of_other_depths(made):
    """The noise fills a bin of 1/32, and D log 32 is what bits/dim take off."""
    five = np.random.default_rng(0).integers(0, 32, (3, 2, 2, 1)).astype(np.uint8)
    batch = {"image": five, "index": np.arange(3), "negative": np.zeros(3, bool)}
    objective = made(FOUR, bins=32)
    x, _ = objective.inputs(batch, KEY)
    np.testing.assert_array_equal(jnp.floor(x * 32), five)
    expected = dequantize(five, example_keys(KEY, np.arange(3)), 32)
    np.testing.assert_array_equal(x, expected)
    parts = LogProbParts(jnp.array([-8.0, 0, 2]), jnp.zeros(3))
    _, metrics = objective.loss(parts, batch)
    np.testing.assert_allclose(
        metrics["bits_per_dim"], 5 + 2 / (4 * np.log(2)), rtol=1e-6
    )


def darker(count=40):
    """Images unlike `images()`, of their shape."""
    return images(count) // 4


def loss_of(log_likelihood, threshold=-100.0):
    return negative_loss(jnp.asarray(log_likelihood), jnp.asarray(NEGATIVE), threshold)


@pytest.mark.parametrize("threshold", CASES)
def test_the_loss_is_the_formula(threshold):
    expected_at, expected = CASES[threshold]
    loss, pushed = loss_of(LL, threshold)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert np.flatnonzero(pushed).tolist() == expected_at


@pytest.mark.parametrize("threshold", CASES)
def test_the_gradient_is_that_of_the_formula(threshold):
    at, _ = CASES[threshold]
    factor = 0.5 if at else 1.0
    expected = np.where(NEGATIVE, 0.0, -factor / 4)
    expected[at] = factor / max(len(at), 1)
    found = jax.grad(lambda ll: loss_of(ll, threshold)[0])(LL)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_infinite_likelihoods_that_do_not_count_leave_no_trace():
    """Not in the loss, and no NaN in the gradient, whether N is empty or not."""
    for threshold in (-30.0, -100.0):
        below = LL.copy()
        below[7] = -np.inf
        (loss, _), grads = jax.value_and_grad(loss_of, has_aux=True)(below, threshold)
        np.testing.assert_allclose(loss, CASES[threshold][1], rtol=1e-6)
        assert np.isfinite(grads).all()
        assert grads[7] == 0


def test_a_broken_likelihood_of_an_image_to_learn_is_seen():
    broken = LL.copy()
    broken[0] = np.nan
    assert np.isnan(loss_of(broken)[0])


@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize("threshold", CASES)
def test_parts_of_a_batch_average_to_the_whole(devices, threshold):
    """Also where N is spread unevenly, or missing in one part."""
    objective = Negative(FOUR, threshold, AXIS).loss
    whole = Negative(FOUR, threshold).loss
    # halves of it, so that the sum is exact
    parts = LogProbParts(LL / 2, LL / 2 + np.float32(4 * np.log(256)))
    batch = {"negative": NEGATIVE}

    def averaged(parts, batch):
        (loss, metrics), grads = jax.value_and_grad(
            lambda p: objective(p, batch), has_aux=True
        )(parts)
        return jax.lax.pmean((loss, metrics), AXIS), grads

    split = jax.tree.map(lambda a: a.reshape(devices, -1), (parts, batch))
    (loss, metrics), grads = jax.vmap(averaged, axis_name=AXIS)(*split)
    (expected, of_whole), slope = jax.value_and_grad(
        lambda p: whole(p, batch), has_aux=True
    )(parts)
    assert_close(loss, np.full(devices, expected))
    assert_close(metrics, {k: np.full(devices, v) for k, v in of_whole.items()})
    # the mean over devices, as the step takes it of gradients by the parameters
    found = jax.tree.map(lambda g: g.reshape(-1) / devices, grads)
    assert_close(found, slope)


def test_metrics_are_of_one_kind_of_image_each():
    parts = LogProbParts(LL / 2, LL / 2 + np.float32(4 * np.log(256)))
    _, metrics = Negative(FOUR, -100.0).loss(parts, {"negative": NEGATIVE})
    expected = {
        "bits_per_dim": NLL / (4 * np.log(2)),
        "bits_per_dim_prior": 8 + NLL / 2 / (4 * np.log(2)),
        "negative_fraction": 0.5,
        "log_likelihood_of_negatives": -489 / 4,
    }
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("threshold", [float("nan"), -float("inf")])
def test_thresholds_that_say_nothing_are_refused(threshold):
    with pytest.raises(ValueError, match=f"threshold must be finite, got {threshold}"):
        Negative(FOUR, threshold)


# --- batches ------------------------------------------------------------------------


def test_a_batch_holds_both_kinds_by_turns():
    own, told = images(40), darker(24)
    batches, alone = batches_with_negatives(own, told, 8, 5), image_batches(own, 8, 5)
    seen = []
    for step in range(6):
        batch, expected = batches(step), alone(step)
        assert batch["negative"].tolist() == [False, True] * 8
        for name in ("image", "index"):
            np.testing.assert_array_equal(batch[name][::2], expected[name])
        assert batch["index"].dtype == np.int32
        at = batch["index"][1::2] - 40
        np.testing.assert_array_equal(batch["image"][1::2], told[at])
        seen.append(at)
    # an epoch of 24 is three batches of 8, each negative once, shuffled anew
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(24))
    assert (first != second).any()


def test_the_two_kinds_are_shuffled_apart():
    """Two sets of one size: no image always comes with the same negative."""
    batch = batches_with_negatives(images(40), darker(40), 20, 5)(0)
    assert (batch["index"][::2] != batch["index"][1::2] - 40).any()


def test_batches_depend_on_seed_and_step_alone():
    again = batches_with_negatives(images(), darker(), 8, 5)
    batches = batches_with_negatives(images(), darker(), 8, 5)
    batches(0)
    for name, value in again(3).items():
        np.testing.assert_array_equal(batches(3)[name], value)
    other = batches_with_negatives(images(), darker(), 8, 6)(3)
    assert (other["index"][1::2] != again(3)["index"][1::2]).any()


def test_negatives_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4, 1\) .* of shape \(4, 4, 3\)"):
        batches_with_negatives(images(), np.repeat(images(), 3, -1), 8, 0)


# --- in training --------------------------------------------------------------------


def trained(threshold, steps=60, norm="light"):
    """Metrics of every step, `log p(x)` of both kinds after the last, and the state."""
    flow, optimizer = tiny_flow(norm), optax.adam(1e-2)
    state = create_state(flow, optimizer, jax.random.key(0), dequantized(images(BATCH)))
    step = jax.jit(make_train_step(Negative(flow, threshold), optimizer))
    batches = batches_with_negatives(images(), darker(), BATCH, 0)
    found = []
    for number in range(steps):
        state, metrics = step(state, batches(number), KEY)
        found.append(jax.device_get(metrics))
    both = [
        np.asarray(flow.apply(state.variables(), dequantized(x))) - 16 * np.log(256)
        for x in (images(), darker())
    ]
    return found, both, state


@pytest.mark.thorough
def test_a_flow_is_told_what_to_find_unlikely():
    without, (own, told), _ = trained(threshold=1e9)
    assert all(m["negative_fraction"] == 0 for m in without)
    # the two are told apart by little, where nobody says which is which
    assert abs(np.median(own) - np.median(told)) < 10
    found, (own, told), _ = trained(threshold=-300.0)
    assert found[0]["negative_fraction"] == 1
    assert found[-1]["negative_fraction"] < 0.5
    assert np.median(own) > -100
    # pushed below the threshold, and then left alone
    assert -1000 < np.median(told) < -300
    assert np.mean(own[:, None] > told) > 0.95


def test_without_negatives_above_the_threshold_it_is_maximum_likelihood():
    """The same parameters, from the same images and noise, where nothing is shared."""
    _, _, state = trained(threshold=1e9, steps=3)
    flow, optimizer = tiny_flow("light"), optax.adam(1e-2)
    alone = create_state(flow, optimizer, jax.random.key(0), dequantized(images(BATCH)))
    step = jax.jit(make_train_step(Likelihood(flow), optimizer))
    batches = image_batches(images(), BATCH, 0)
    for number in range(3):
        alone, _ = step(alone, batches(number), KEY)
    assert_close(state.params, alone.params, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
def test_batch_norm_sees_both_kinds():
    _, _, state = trained(threshold=-1e4, steps=1, norm="light batch")
    batch = batches_with_negatives(images(), darker(), BATCH, 0)(0)
    key = jax.random.fold_in(KEY, 0)
    x = dequantize(jnp.asarray(batch["image"]), example_keys(key, batch["index"]))
    logit = jnp.log(0.05 + 0.9 * x) - jnp.log1p(-(0.05 + 0.9 * x))
    # the first st-network sees half of the pixels, by a checkerboard
    seen = (np.indices(SHAPE[:2]).sum(0) % 2)[..., None] == 1
    first = state.batch_stats["bijector"]["bijectors_1"]["st_net"]["norm"]
    expected = 0.1 * float(jnp.mean(jnp.where(seen, logit, 0.0)))
    np.testing.assert_allclose(first["mean"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"noise": np.nan}, "noise must be finite"),
        ({"noise": -0.1}, "noise must not be negative, got -0.1"),
        ({"bins": 3}, "bins must be a power of two"),
    ],
)
@pytest.mark.parametrize(
    "kind", [Likelihood, LikelihoodAndReconstruction, partial(Negative, threshold=-9.0)]
)
def test_noise_and_bins_are_checked(kind, arguments, said):
    with pytest.raises(ValueError, match=said):
        kind(FOUR, **arguments)

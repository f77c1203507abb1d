"""Outlier Exposure: its loss, its batches, and what training by it does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowjax_ood.training.batches import batches_with_outliers, labelled_batches
from flowjax_ood.training.classifier_objectives import (
    CrossEntropy,
    OutlierExposure,
    cross_entropy,
    outlier_loss,
)
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.tiny_classifier import TinyClassifier, batch, images, labels

KEY = jax.random.key(3, impl="threefry2x32")


def outliers(count=12):
    return 255 - images(count)


@pytest.mark.thorough
def test_the_loss_is_the_cross_entropy_from_uniform():
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 3
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -log_p.mean(1)
    np.testing.assert_allclose(outlier_loss(jnp.array(logits)), expected, rtol=1e-5)
    assert (expected > np.log(7)).all()
    np.testing.assert_allclose(outlier_loss(jnp.full((2, 7), 5.0)), np.log(7), 1e-6)
    # scores that overflow alone do not in their difference
    assert np.isfinite(outlier_loss(jnp.array([[1e30, -1e30]]))).all()


@pytest.mark.thorough
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_objective_adds_both(weight):
    module, optimizer = TinyClassifier(norm=True), optax.sgd(0.1)
    given = batches_with_outliers(images(), labels(), outliers(), 8, 6, seed=1)(0)
    state = create_state(module, optimizer, KEY, images(1))
    step = jax.jit(make_train_step(OutlierExposure(module, weight=weight), optimizer))
    new, metrics = step(state, given, KEY)
    # batch norm sees both kinds
    together = np.concatenate([given["image"], given["outlier"]]) / np.float32(255)
    logits, updates = module.apply(state.variables(), together, mutable=["batch_stats"])
    own, expected = cross_entropy(logits[:8], given["label"])
    unsure = outlier_loss(logits[8:]).mean()
    expected |= {
        "cross_entropy": own,
        "outlier_loss": unsure,
        "loss": own + weight * unsure,
    }
    assert set(metrics) == {*expected, "grad_norm"}
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(new.batch_stats), jax.tree.leaves(updates)):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.thorough
def test_outliers_are_augmented_by_keys_of_their_own():
    seen = []

    def augment(x, keys):
        seen.append(jax.random.key_data(keys))
        return x

    module, optimizer = TinyClassifier(), optax.sgd(0.1)
    given = batches_with_outliers(images(), labels(), outliers(), 40, 12, seed=1)(0)
    state = create_state(module, optimizer, KEY, images(1))
    step = make_train_step(OutlierExposure(module, augment=augment), optimizer)
    step(state, given, KEY)
    both = np.concatenate(seen)
    assert len(np.unique(both, axis=0)) == len(both) == 52


def test_training_makes_it_unsure_of_outliers():
    # of colours apart: a linear map can tell them
    own, other = images() // 2, 128 + outliers(40) // 2
    module, optimizer = TinyClassifier(), optax.adam(3e-2)
    batches = batches_with_outliers(own, labels(), other, 20, 20, seed=1)

    def trained(weight):
        state = create_state(module, optimizer, KEY, images(1))
        step = jax.jit(
            make_train_step(OutlierExposure(module, weight=weight), optimizer)
        )
        for k in range(150):
            state, metrics = step(state, batches(k), KEY)
        return jax.device_get(metrics)

    with_outliers, without = trained(1.0), trained(0.0)
    assert with_outliers["outlier_loss"] < without["outlier_loss"] - 0.3
    assert with_outliers["accuracy"] > 0.6


def test_batches_hold_both_streams():
    own = labelled_batches(images(), labels(), 8, seed=1)
    both = batches_with_outliers(images(), labels(), outliers(), 8, 6, seed=1)
    seen = []
    for step in range(4):
        given = both(step)
        for name, value in own(step).items():
            np.testing.assert_array_equal(given[name], value)
        at = given["outlier_index"] - 40
        np.testing.assert_array_equal(given["outlier"], outliers()[at])
        seen.extend(at)
    # two epochs, each outlier once in each
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_what_does_not_fit_is_refused():
    wide, pixels = np.zeros((3, 4, 5, 1), np.uint8), outliers() / np.float32(255)
    with pytest.raises(ValueError, match=r"\(4, 4, 1\).*\(4, 5, 1\)"):
        batches_with_outliers(images(), labels(), wide, 8, 4, seed=0)
    with pytest.raises(ValueError, match=r"outliers must be uint8.*float32"):
        batches_with_outliers(images(), labels(), pixels, 8, 4, seed=0)
    with pytest.raises(ValueError, match="-1"):
        OutlierExposure(TinyClassifier(), weight=-1)
    module, optimizer = TinyClassifier(), optax.sgd(0.1)
    state = create_state(module, optimizer, KEY, images(1))
    with pytest.raises(ValueError, match="image, index, label"):
        make_train_step(OutlierExposure(module), optimizer)(state, batch(), KEY)
    both = batches_with_outliers(images(), labels(), outliers(), 8, 4, seed=0)(0)
    with pytest.raises(ValueError, match="OutlierExposure"):
        make_train_step(CrossEntropy(module), optimizer)(state, both, KEY)

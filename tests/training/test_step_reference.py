"""Each objective's step against one written out by hand, and the optimisers' trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.training.batches import (
    batches_with_negatives,
    batches_with_outliers,
    image_batches,
    labelled_batches,
)
from flowjax_ood.training.classifier_objectives import CrossEntropy, OutlierExposure
from flowjax_ood.training.objectives import Likelihood, Negative
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.helpers import tiny_classifier, tiny_run
from tests.helpers.tiny_classifier import TinyClassifier

KEY, SIZE, RATE, STEPS = tiny_run.KEY, 8, 1e-2, 3
FLOW, CLASSIFIER = tiny_run.tiny_flow("light"), TinyClassifier()
PLAIN = {"name": "sgd", "momentum": 0.0, "clip_norm": 0.0, "l2": 0.0}
IMAGES, DARK = tiny_run.images(), tiny_run.images() // 4
THRESHOLD, WEIGHT = -125.0, 0.7


def likelihoods(params, batch, step):
    """`log p(x)` `[B]` of the batch's dequantised images."""
    keys = example_keys(jax.random.fold_in(KEY, step), batch["index"])
    return FLOW.apply({"params": params}, dequantize(jnp.asarray(batch["image"]), keys))


def likelihood(params, batch, step):
    return -sum(likelihoods(params, batch, step)) / SIZE


def negative(params, batch, step):
    ll = likelihoods(params, batch, step) - FLOW.dims * np.log(256)
    above = [x for x, n in zip(ll, batch["negative"]) if n and x > THRESHOLD]
    nll = -sum(x for x, n in zip(ll, batch["negative"]) if not n) / SIZE
    return 0.5 * (nll + sum(above) / len(above)) if above else nll


def log_probabilities(params, images):
    x = jnp.asarray(images / np.float32(255)).reshape(len(images), -1)
    scores = x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    return scores - jnp.log(jnp.sum(jnp.exp(scores), 1, keepdims=True))


def cross_entropy(params, batch, step):
    log_p = log_probabilities(params, batch["image"])
    return -sum(row[label] for row, label in zip(log_p, batch["label"])) / SIZE


def outlier_exposure(params, batch, step):
    unsure = -jnp.mean(log_probabilities(params, batch["outlier"]))
    return cross_entropy(params, batch, step) + WEIGHT * unsure


PICTURES, LABELS = tiny_classifier.images(), tiny_classifier.labels()
CASES = {
    "likelihood": (Likelihood(FLOW), likelihood, image_batches(IMAGES, SIZE, 1)),
    "negative": (
        Negative(FLOW, THRESHOLD),
        negative,
        batches_with_negatives(IMAGES, DARK, SIZE, 1),
    ),
    "cross-entropy": (
        CrossEntropy(CLASSIFIER),
        cross_entropy,
        labelled_batches(PICTURES, LABELS, SIZE, 1),
    ),
    "outlier exposure": (
        OutlierExposure(CLASSIFIER, weight=WEIGHT),
        outlier_exposure,
        batches_with_outliers(PICTURES, LABELS, 255 - PICTURES, SIZE, 6, 1),
    ),
}


@pytest.mark.thorough
@pytest.mark.accelerator
@pytest.mark.parametrize("case", CASES)
def test_steps_are_gradient_descent_on_the_loss_by_hand(case):
    objective, loss, batches = CASES[case]
    optimizer = make_optimizer(RATE, **PLAIN)
    x = batches(0)["image"][:SIZE]
    if isinstance(objective, Likelihood):
        x = tiny_run.dequantized(x)
    state = create_state(objective.module, optimizer, jax.random.key(0), x)
    step = jax.jit(make_train_step(objective, optimizer))
    params = state.params
    for number in range(STEPS):
        value, slope = jax.value_and_grad(loss)(params, batches(number), number)
        params = jax.tree.map(lambda p, g: p - np.float32(RATE) * g, params, slope)
        state, metrics = step(state, batches(number), KEY)
        np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
        if case == "negative" and number == 0:
            # some of the negatives are pushed, some are not
            assert 0 < metrics["negative_fraction"] < 1
    tiny_run.assert_close(state.params, params, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_what_the_objective_needs_is_refused(case):
    objective, _, batches = CASES[case]
    optimizer, batch = make_optimizer(RATE, **PLAIN), batches(0)
    state = tiny_run.tiny("light").state
    step, name = make_train_step(objective, optimizer), type(objective).__name__
    for field in objective.needs:
        lacking = {k: v for k, v in batch.items() if k not in field.split(" or ")}
        message = f"{name} needs batches with {field}, got .*; .* makes them"
        with pytest.raises(ValueError, match=message):
            step(state, lacking, KEY)


# --- optimiser trees: checkpoints hold them -----------------------------------------

WARM = make_schedule(1e-3, "constant", 100, 5)
FALLING = make_schedule(0.1, "step_decay", 100, decay=0.1, boundaries=(3, 5))
EPOCHS = make_schedule(1.0, "epoch_decay", 100, decay=0.7, steps_per_epoch=9.5)
NO_CLIP = {"clip_norm": 0.0, "scales_apart": False}
TREES = {
    "RealNVP": ({}, "Empty Masked ScaleByAdam ScaleBySchedule"),
    "RMSprop": ({"name": "rmsprop"}, "Empty Masked ScaleByRms ScaleBySchedule"),
    "Glow": (
        {"clip_norm": 5.0, "weight_decay": 0.01, "scales_apart": False},
        "Empty Empty ScaleByAdam Masked ScaleBySchedule",
    ),
    "vectors": (
        {"clip_norm": 1.0, "scales_apart": False},
        "Empty Empty ScaleByAdam ScaleBySchedule",
    ),
    "bare": ({"clip_norm": 0.0, "l2": 0.0}, "ScaleByAdam ScaleBySchedule"),
    "LeNet": (
        {"learning_rate": EPOCHS, "name": "adadelta", "l2": 0.0, **NO_CLIP},
        "ScaleByAdaDelta ScaleBySchedule",
    ),
    "ResNet": (
        {"learning_rate": FALLING, "name": "sgd", "reset_at": (3, 5), **NO_CLIP},
        "Empty Momentum ScaleBySchedule",
    ),
    "LSTM": ({"name": "adam", **NO_CLIP}, "Empty ScaleByAdam ScaleBySchedule"),
    "exposure": (
        {"name": "sgd", "nesterov": True, **NO_CLIP},
        "Empty Momentum ScaleBySchedule",
    ),
    "plain": ({"learning_rate": 0.1, **PLAIN}, "Empty"),
}


@pytest.mark.parametrize("recipe", TREES)
def test_the_optimiser_of_every_recipe_keeps_its_tree(recipe):
    """A part more or less, or another order, and older checkpoints do not restore."""
    settings, expected = TREES[recipe]
    params = {
        "conv": {"v": jnp.ones(2), "g": jnp.ones(1)},
        "out": {"kernel": jnp.ones(2)},
    }
    optimizer = make_optimizer(**{"learning_rate": WARM} | settings)
    names = [type(part).__name__ for part in optimizer.init(params)]
    assert names == [f"{name}State" for name in expected.split()]

"""Diverse members: the agreement by its formula, and what training by it does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from flowjax_ood.training import classifier_objectives
from flowjax_ood.training.batches import batches_with_outliers, labelled_batches
from flowjax_ood.training.classifier_objectives import (
    CrossEntropy,
    Diverse,
    OutlierExposure,
)
from flowjax_ood.training.state import create_state, fine_tuning_state
from flowjax_ood.training.step import make_train_step
from tests.helpers.tiny_members import (
    CLASSES,
    KEY,
    TinyTapped,
    ensemble,
    images,
)

KINDS = ("logsumexp", "max", "mean")
agreement = jax.jit(classifier_objectives.agreement, static_argnums=1)
LOGITS = np.random.default_rng(0).normal(size=(4, 9, CLASSES)) * 2
LABELS = (images()[:, 0, 0, 0] // 64).astype(np.int32)
OUTLIERS = 255 - images(40, seed=1)
BATCHES = batches_with_outliers(images(), LABELS, OUTLIERS, 16, 12, seed=1)


def by_hand(logits, kind):
    """In float64, pair by pair."""
    p = special.softmax(np.asarray(logits, np.float64), axis=-1)
    pairs = []
    for i in range(len(p)):
        for j in range(i):
            lengths = np.linalg.norm(p[i], axis=-1) * np.linalg.norm(p[j], axis=-1)
            pairs.append((p[i] * p[j]).sum(-1) / lengths)
    if kind == "logsumexp":
        return np.log(np.exp(pairs).sum(0)) - np.log(len(p) * (len(p) - 1) / 2)
    return {"max": np.max, "mean": np.mean}[kind](pairs, axis=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_agreement_is_its_formula(kind):
    found = agreement(jnp.asarray(LOGITS), kind)
    np.testing.assert_allclose(found, by_hand(LOGITS, kind), rtol=1e-5)
    with jax.enable_x64(True):
        found = agreement(jnp.asarray(LOGITS), kind)
        np.testing.assert_allclose(found, by_hand(LOGITS, kind), rtol=1e-13)
    found = np.asarray(found)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_members_and_classes_have_no_order(kind):
    expected = agreement(jnp.asarray(LOGITS), kind)
    for other in (LOGITS[[2, 0, 3, 1]], LOGITS[..., [3, 1, 0, 2]]):
        np.testing.assert_allclose(
            agreement(jnp.asarray(other), kind), expected, rtol=1e-5
        )


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_1_where_all_agree_and_0_where_two_share_no_class(kind):
    equal = jnp.broadcast_to(LOGITS[:1], LOGITS.shape)
    np.testing.assert_allclose(agreement(equal, kind), 1, rtol=1e-6)
    apart = 200 * jnp.eye(CLASSES)[:2, None]
    np.testing.assert_allclose(agreement(apart, kind), 0, atol=1e-7)


def test_two_members_have_one_pair():
    found = [agreement(jnp.asarray(LOGITS[:2]), kind) for kind in KINDS]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-6)


def test_the_smooth_agreement_is_between_mean_and_largest():
    smooth, most, mean = (agreement(jnp.asarray(LOGITS), kind) for kind in KINDS)
    assert ((mean < smooth) & (smooth < most)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_certain_members_have_a_finite_gradient(kind):
    certain = 1e4 * jnp.eye(CLASSES)[jnp.array([[0, 1], [0, 2], [1, 1]])]
    gradient = jax.jit(jax.grad(lambda z: agreement(z, kind).sum()))(certain)
    assert np.isfinite(gradient).all()


# --- in training --------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_the_step_adds_both(kind):
    module, variables = ensemble()
    optimizer, batch = optax.sgd(0.1), BATCHES(0)
    state = fine_tuning_state(optimizer, variables)
    objective = Diverse(module, weight=0.7, kind=kind)
    _, metrics = jax.jit(make_train_step(objective, optimizer))(state, batch, KEY)
    own, others = (
        np.moveaxis(module.apply(variables, batch[k] / np.float32(255)), 1, 0)
        for k in ("image", "outlier")
    )
    log_p = special.log_softmax(np.float64(own), axis=-1)
    expected = {
        "cross_entropy": -log_p[:, np.arange(16), batch["label"]].mean(),
        "accuracy": (own.argmax(-1) == batch["label"]).mean(),
        "agreement": by_hand(others, kind).mean(),
    }
    expected["loss"] = expected["cross_entropy"] + 0.7 * expected["agreement"]
    assert set(metrics) == {*expected, "grad_norm"}
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)


def test_members_do_not_hear_of_each_other_without_weight():
    """The gradient to member m is 1 / M of its own cross-entropy's."""
    module, variables = ensemble()
    own, objective = BATCHES(0), Diverse(module, weight=0.0)

    @jax.jit
    @jax.grad
    def gradient_of_all(params):
        outputs = module.apply({"params": params}, *objective.inputs(own, KEY))
        return objective.loss(outputs, own)[0]

    together = gradient_of_all(variables["params"])
    alone = CrossEntropy(TinyTapped())

    @jax.jit
    @jax.grad
    def gradient(params):
        outputs = TinyTapped().apply({"params": params}, own["image"] / 255.0)
        return alone.loss(outputs, {"label": own["label"]})[0]

    for of_one, params in zip(
        module.split({"params": together}), module.split(variables)
    ):
        expected = gradient(params["params"])
        jax.tree.map(
            lambda found, one: np.testing.assert_allclose(
                3 * found, one, rtol=1e-3, atol=1e-5
            ),
            of_one["params"],
            expected,
        )


def test_parts_of_a_batch_average_to_the_whole():
    """As the step averages them over devices that share a batch."""
    objective = Diverse(None, weight=0.7)
    labels = np.arange(8, dtype=np.int32) % CLASSES
    own, others = np.split(np.random.default_rng(4).normal(size=(16, 3, CLASSES)), 2)

    loss_of = jax.jit(objective.loss)

    def loss(rows):
        outputs = jnp.asarray(np.concatenate([own[rows], others[rows]]))
        return loss_of(outputs, {"label": labels[rows]})

    whole, parts = loss(slice(None)), [loss(slice(k, k + 2)) for k in (0, 2, 4, 6)]
    found = jax.tree.map(lambda *a: np.mean(a), *parts)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), found, whole)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_members_that_differ_little_part_by_the_weight_alone(weight):
    """Where they are alike they have one gradient, and stay so."""
    module, variables = ensemble(2)
    first = module.split(variables)[0]
    nudged = jax.tree.map(
        lambda a: a + 0.03 * np.sin(np.arange(a.size)).reshape(a.shape), first
    )
    optimizer = optax.sgd(0.1)
    step = jax.jit(make_train_step(Diverse(module, weight=weight), optimizer))

    def trained(second):
        state = fine_tuning_state(optimizer, module.join([first, second]))
        for k in range(30):
            state, metrics = step(state, BATCHES(k), KEY)
        return module.split(state.variables()), metrics["agreement"]

    (one, two), agreed = trained(first)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), one, two)
    np.testing.assert_allclose(agreed, 1, rtol=1e-5)
    _, agreed = trained(nudged)
    assert agreed < 0.7 if weight else agreed > 0.9


@pytest.mark.thorough
def test_training_makes_members_differ_on_outliers_and_agree_on_images():
    # of colours apart: what is an outlier can be seen
    own, other = images() // 2, 128 + OUTLIERS // 2
    labels = (images()[:, 0, 0, 0] // 128).astype(np.int32)
    batches = batches_with_outliers(own, labels, other, 30, 20, seed=1)
    module, optimizer = ensemble()[0], optax.adam(1e-2)

    def trained(weight):
        state = create_state(module, optimizer, KEY, images(1))
        step = jax.jit(make_train_step(Diverse(module, weight=weight), optimizer))
        for k in range(150):
            state, metrics = step(state, batches(k), KEY)
        return jax.device_get(metrics)

    diverse, plain = trained(1.0), trained(0.0)
    assert diverse["agreement"] < 0.3 < plain["agreement"] - 0.2
    assert diverse["accuracy"] > 0.9


@pytest.mark.thorough
def test_what_does_not_fit_is_refused():
    module, variables = ensemble()
    with pytest.raises(ValueError, match="not be negative or infinite, got -1"):
        Diverse(module, weight=-1)
    with pytest.raises(ValueError, match="not be negative or infinite, got inf"):
        Diverse(module, weight=np.inf)
    with pytest.raises(ValueError, match="unknown kind 'median'; known: logsumexp"):
        agreement(jnp.asarray(LOGITS), "median")
    with pytest.raises(ValueError, match="unknown kind 'min'; known: logsumexp, max"):
        Diverse(module, kind="min")
    optimizer = optax.sgd(0.1)
    state = fine_tuning_state(optimizer, variables)
    plain = labelled_batches(images(), LABELS, 16, seed=1)(0)
    with pytest.raises(ValueError, match=r"outlier.*batches_with_outliers makes them"):
        make_train_step(Diverse(module), optimizer)(state, plain, KEY)
    for objective, batch in ((CrossEntropy, plain), (OutlierExposure, BATCHES(0))):
        with pytest.raises(ValueError, match=r"\[B, M, C\], are of the .* Diverse"):
            make_train_step(objective(module), optimizer)(state, batch, KEY)
    one = TinyTapped()
    state = fine_tuning_state(optimizer, module.split(variables)[0])
    with pytest.raises(ValueError, match=r"\(28, 4\): DiverseMembers"):
        make_train_step(Diverse(one), optimizer)(state, BATCHES(0), KEY)

"""The outlier term reaches the head and nothing else; without it, plain training."""

import jax
import numpy as np
import optax
import pytest

from flowjax_ood.federated import VirtualOutliers, make_client_step
from flowjax_ood.training.classifier_objectives import CrossEntropy
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step
from tests.federated.toy import CLASSES, UNITS, Small, blobs, same

X, LABELS = blobs(40)
FEATURES = np.random.default_rng(5).gamma(1.0, size=(12, UNITS)).astype(np.float32)
KEY = jax.random.key(0)


def batch(own=range(CLASSES), **more) -> dict:
    own = np.array(own, np.int32)
    rows = np.isin(LABELS, own)
    return {
        "x": X[rows],
        "label": np.searchsorted(own, LABELS[rows]).astype(np.int32),
        "index": np.flatnonzero(rows).astype(np.int32),
        "own": own,
    } | more


def stepped(objective, rows: dict, steps: int = 1):
    """Parameters after steps of plain gradient descent at a rate of 1, and metrics."""
    module, optimizer = Small(), optax.sgd(1.0)
    state = create_state(module, optimizer, KEY, X[:1])
    step = jax.jit(make_client_step(module, optimizer, objective))
    for _ in range(steps):
        state, metrics = step(state, rows, KEY)
    return state.params, metrics


def test_outliers_move_the_head_and_nothing_below_it():
    rows = batch((0, 2), feature=FEATURES)
    plain, _ = stepped(VirtualOutliers(0.0), rows)
    for kind in ("uniform", "energy"):
        # no example is above the first margin, all outliers are below the second
        moved, _ = stepped(VirtualOutliers(0.1, kind, (50.0, 60.0)), rows)
        assert same(moved["body"], plain["body"])
        assert not np.allclose(moved["last"]["kernel"], plain["last"]["kernel"])


def test_the_gradient_of_the_outlier_term_is_that_of_the_clients_own_head():
    """Restated in float64: of `logsumexp z - mean z`, `softmax(z) - 1 / C`."""
    own, weight = [0, 2, 3], 0.7
    rows = batch(own, feature=FEATURES)
    start = create_state(Small(), optax.sgd(1.0), KEY, X[:1]).params["last"]
    plain, _ = stepped(None, rows)
    moved, metrics = stepped(VirtualOutliers(weight), rows)
    z = FEATURES.astype(np.float64) @ np.asarray(start["kernel"], np.float64)
    z = (z + np.asarray(start["bias"]))[:, own]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = np.zeros((UNITS, CLASSES))
    expected[:, own] = FEATURES.T @ (p - 1 / 3) / len(FEATURES)
    found = plain["last"]["kernel"] - moved["last"]["kernel"]
    np.testing.assert_allclose(found, weight * expected, atol=1e-6)
    r = np.log(np.exp(z).sum(1)) - z.mean(1)
    assert metrics["outlier_loss"] == pytest.approx(r.mean(), rel=1e-5)
    total = metrics["cross_entropy"] + weight * metrics["outlier_loss"]
    assert metrics["loss"] == pytest.approx(float(total), rel=1e-6)


def test_without_outliers_it_is_plain_training():
    module, optimizer = Small(), optax.sgd(0.3)
    state = create_state(module, optimizer, KEY, X[:1])
    step = jax.jit(make_train_step(CrossEntropy(module), optimizer))
    client = jax.jit(make_client_step(module, optimizer, VirtualOutliers(0.0)))
    plain, federated = state, state
    for _ in range(5):
        plain, _ = step(plain, batch(), KEY)
        federated, _ = client(federated, batch(feature=FEATURES), KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        federated.params,
        plain.params,
    )


def test_other_classes_columns_of_the_head_are_left_alone():
    start = create_state(Small(), optax.sgd(1.0), KEY, X[:1]).params["last"]
    moved, metrics = stepped(None, batch((1, 2)), steps=20)
    for column in (0, 3):
        np.testing.assert_array_equal(
            moved["last"]["kernel"][:, column], start["kernel"][:, column]
        )
    assert metrics["accuracy"] == 1.0


@pytest.mark.thorough
def test_equal_logits_are_the_least_of_uniform():
    uniform = VirtualOutliers()
    z = np.random.default_rng(0).normal(size=(50, 5))
    assert float(uniform(z, np.full((3, 5), 2.0))) == pytest.approx(np.log(5))
    assert all(float(uniform(z, row[None])) > np.log(5) for row in z)


def test_energies_are_kept_apart_by_margins():
    energy = VirtualOutliers(kind="energy", margins=(-5.0, -2.0))
    # of two equal logits a, the energy is -a - log 2
    a = np.array([[4.0, 4.0], [6.0, 6.0]]) - np.log(2)
    assert float(energy(a[1:], a[:1])) == pytest.approx((-2 + 4) ** 2)
    assert float(energy(a[:1], a[:1] - 3)) == pytest.approx((-4 + 5) ** 2)
    assert float(energy(a[1:], a[:1] - 3)) == 0.0


def test_margins_of_a_config_are_a_list():
    found = VirtualOutliers(kind="energy", margins=[-5.0, -2.0])
    assert hash(found) == hash(VirtualOutliers(kind="energy", margins=(-5.0, -2.0)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": -0.1}, "weight must not be negative or infinite, got -0.1"),
        ({"weight": float("inf")}, "got inf"),
        ({"weight": float("nan")}, "got nan"),
        ({"kind": "entropy"}, "unknown kind 'entropy'; known: uniform, energy"),
        ({"margins": (-7.0, -25.0)}, r"the first the lower one, got \(-7.0, -25.0\)"),
        ({"margins": (-7.0, -7.0)}, "the first the lower one"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        VirtualOutliers(**options)


def test_a_batch_says_which_classes_are_own():
    rows = batch()
    del rows["own"]
    with pytest.raises(ValueError, match="OwnClasses needs batches with own"):
        stepped(None, rows)

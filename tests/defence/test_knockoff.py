"""A clone by queries: the law of linear classifiers, what is asked, errors."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from flowjax_ood.defence import Keyed, Served, fidelity, knockoff
from flowjax_ood.defence.knockoff import Imitation, ask
from flowjax_ood.ood import Network
from tests.helpers.tiny_members import TinyTapped, ensemble, images

RNG = np.random.default_rng(0)
# images of nine pixels, three classes
SMALL = RNG.integers(0, 256, (200, 3, 3, 1), np.uint8)
W = RNG.normal(size=(9, 3)) * 2
# no class has nearly all images
B = -0.5 * W.sum(0)
LINEAR = Network(
    lambda _, x: ({}, x.reshape(len(x), 9) @ W.astype(np.float32) + np.float32(B))
)
SECRET = bytes(range(16))


class Linear(nn.Module):
    """`x W + b`."""

    classes: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class Recording:
    """A target that keeps what it was asked, and answers in turn."""

    def __init__(self, *answers):
        self.asked, self.answers = [], answers

    def predict(self, x, output="probabilities"):
        self.asked.append(x)
        answer = self.answers[(len(self.asked) - 1) % len(self.answers)]
        return np.repeat(np.array([answer]), len(x), axis=0)


def stolen(target=None, queries=SMALL, **changes):
    target = Served(LINEAR, Keyed(SECRET)) if target is None else target
    given = {"student": Linear(), "steps": 3, "seed": 0} | changes
    return knockoff(target, queries, **given)


def test_the_loss_is_the_divergence():
    p = np.float32([[0.2, 0.3, 0.5], [0, 1, 0], [1, 0, 0], [0.5, 0.5, 0]])
    z = np.float32(RNG.normal(size=(4, 3)))
    loss, metrics = Imitation(None).loss(jnp.asarray(z), {"answer": p})
    q = special.softmax(np.float64(z), axis=1)
    np.testing.assert_allclose(loss, special.rel_entr(p, q).sum(1).mean(), rtol=1e-5)
    same = (z.argmax(1) == p.argmax(1)).mean()
    np.testing.assert_allclose(metrics["agreement"], same)
    exact, _ = Imitation(None).loss(jnp.log(p + 1e-30), {"answer": p})
    np.testing.assert_allclose(exact, 0, atol=1e-6)


def test_a_linear_classifier_is_recovered():
    """Up to a constant of all classes, which no answer shows."""
    steps = 2500
    rate = optax.cosine_decay_schedule(0.2, steps)
    clone = stolen(steps=steps, batch_size=len(SMALL), optimizer=optax.adam(rate))
    (layer,) = clone.variables["params"].values()
    for found, expected in ((layer["kernel"], W), (layer["bias"][None], B[None])):
        found = np.asarray(found)
        np.testing.assert_allclose(
            found - found.mean(1, keepdims=True),
            expected - expected.mean(1, keepdims=True),
            atol=1e-3,
        )
    assert clone.loss < 1e-7
    assert clone.queries == 200
    target = Served(LINEAR, Keyed(SECRET))
    others = np.random.default_rng(9).integers(0, 256, (100, 3, 3, 1), np.uint8)
    np.testing.assert_allclose(clone.predict(others), target.predict(others), atol=1e-3)
    labels = target.predict(others, "label")
    found = fidelity(clone, target, others, labels)
    assert found.target == 1
    assert found.clone == found.relative == found.agreement >= 0.98


def test_a_clone_by_labels_has_most_labels():
    clone = stolen(output="label", steps=300, optimizer=optax.adam(0.05))
    target = Served(LINEAR, Keyed(SECRET))
    labels = target.predict(SMALL, "label")
    assert np.bincount(labels).max() < 120
    assert (clone.predict(SMALL, "label") == labels).mean() > 0.95
    np.testing.assert_array_equal(
        clone.predict(SMALL).argmax(1), clone.predict(SMALL, "label")
    )


def test_the_same_arguments_give_the_same_clone():
    module, variables = ensemble()
    target = Served(module.networks(variables), Keyed(SECRET))
    args = {"queries": images(), "student": TinyTapped(), "repeats": 2, "jitter": 3}
    one, two, other = (stolen(target, seed=seed, **args) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.predict(images()), two.predict(images()))
    assert one.loss == two.loss != other.loss
    assert one.queries == 120


def test_answers_to_changed_images_are_averaged():
    target = Recording([1.0, 0, 0], [0, 1.0, 0], [0, 0.5, 0.5])
    found = ask(target, SMALL, 3, repeats=3, jitter=4)
    np.testing.assert_allclose(found, np.tile([1 / 3, 0.5, 1 / 6], (200, 1)), rtol=1e-6)
    first, second, third = target.asked
    np.testing.assert_array_equal(first, SMALL)
    for changed in (second, third):
        assert changed.dtype == np.uint8
        change = np.int16(changed) - SMALL
        inside = (SMALL >= 4) & (SMALL <= 251)
        # every change is drawn, and none is larger; of black and white it is cut
        assert set(change[inside]) == set(range(-4, 5))
        assert np.abs(change).max() == 4
    assert (second != third).any()


def test_averages_of_a_keyed_ensemble_go_to_the_mean_of_its_members():
    """So an adaptive attacker undoes the choice of a member."""
    constants = np.eye(3, dtype=np.float32) * 2
    networks = [
        Network(lambda v, x: ({}, np.zeros((len(x), 3), np.float32) + v), c)
        for c in constants
    ]
    target = Served(networks, Keyed(SECRET))
    once = ask(target, SMALL[:20], 3)
    often = ask(target, SMALL[:20], 3, repeats=40, jitter=2)
    assert np.abs(once - 1 / 3).max() > 0.4
    assert np.abs(often - 1 / 3).max() < 0.25
    assert np.abs(often - 1 / 3).mean() < np.abs(once - 1 / 3).mean() / 4


def test_labels_are_counted():
    target = Recording(2, 0, 2)
    found = ask(target, SMALL, 3, "label", repeats=3, jitter=1)
    np.testing.assert_allclose(found, np.tile([1 / 3, 0, 2 / 3], (200, 1)), rtol=1e-6)


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"queries": SMALL / 255}, r"queries must be uint8 .* float64"),
        ({"queries": SMALL[0]}, r"queries must be uint8 .* \(3, 3, 1\)"),
        ({"queries": SMALL[:0]}, r"\(0, 3, 3, 1\)"),
        ({"queries": images(), "student": Linear(3)}, r"member 0 .* \(8, 8, 1\)"),
        ({"student": Linear(4)}, "the student has 4 classes, the target 3"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"output": "logits"}, "unknown output 'logits'"),
        ({"repeats": 5}, "repeats=5 and jitter=0"),
        ({"jitter": 5}, "repeats=1 and jitter=5"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"repeats": 2, "jitter": 256}, "0 to 255 levels, got 256"),
        ({"optimizer": optax.sgd(1e38)}, r"not finite after 3 steps: give an optim"),
    ],
)
def test_what_does_not_fit_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        stolen(**changes)


def test_a_student_takes_the_queries_and_knows_the_classes():
    with pytest.raises(ValueError, match=r"the student has 2 classes, .* class 2"):
        ask(Recording(2), SMALL, 2, "label")

    class Narrow(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x.reshape(len(x), 2, 2)

    with pytest.raises(ValueError, match=r"the student does not take .* \(3, 3, 1\)"):
        stolen(student=Narrow())

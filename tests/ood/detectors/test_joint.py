"""JointDensity: exact Gaussians, independent parts, and what it refuses."""

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.models import TabularRealNVP
from flowjax_ood.ood import Given, JointDensity, Network, Requires, auroc, explanation
from flowjax_ood.ood.detectors import joint
from flowjax_ood.ood.vector_density import VectorDensity
from tests.helpers import blobs
from tests.helpers.gaussian_joint import GAUSSIAN, GIVEN, Gaussian

SMALL = partial(
    TabularRealNVP, couplings=2, width=8, layers=1, mask="halves", max_log_scale=1.0
)
JOINT = JointDensity(inputs=4, explanation_grid=2, flow=SMALL, steps=50, batch_size=64)


@pytest.fixture(scope="module")
def fitted():
    return JOINT.fit(blobs.NETWORK, GIVEN)


def log_normal(u, v):
    """Log-density of v under the Gaussian of the moments of u, float64."""
    away = v - u.mean(0)
    s = np.cov(u.T, bias=True)
    squares = np.einsum("nd,nd->n", away, np.linalg.solve(s, away.T).T)
    return -(squares + np.linalg.slogdet(s)[1] + u.shape[1] * np.log(2 * np.pi)) / 2


@pytest.mark.thorough
def test_parts_are_components_logits_and_explanation(fitted):
    u = fitted.parts(blobs.TEST)
    assert u.shape == (90, 4 + 3 + 4)
    z = blobs.NETWORK.collect(blobs.TEST).logits
    np.testing.assert_allclose(u[:, 4:7], z, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(u[:, 7:], explanation(blobs.NETWORK, blobs.TEST, grid=2))
    # components: uncorrelated on the training images, the largest variances there are
    x = np.float64(blobs.TRAIN).reshape(300, -1)
    c = np.cov(fitted.parts(blobs.TRAIN)[:, :4].T, bias=True)
    largest = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1][:4]
    np.testing.assert_allclose(c, np.diag(largest), atol=1e-6)


def test_components_are_of_images_from_first_to_last(monkeypatch):
    """Of a set in order of its classes, the first rows would be of one class alone."""
    monkeypatch.setattr(joint, "ROWS", 100)
    x = blobs.TRAIN[np.argsort(blobs.TRAIN.mean((1, 2, 3)))]
    found = joint.Description.fit(blobs.NETWORK, x, JOINT)
    rows = np.float64(x).reshape(300, -1)
    np.testing.assert_allclose(found.mean, rows[::3].mean(0))
    assert np.abs(found.mean - rows.mean(0)).max() < 0.05
    assert np.abs(rows[:100].mean(0) - rows.mean(0)).max() > 0.1


def test_of_a_gaussian_flow_it_is_the_gaussian_of_the_vectors():
    fitted = GAUSSIAN.fit(blobs.NETWORK, GIVEN)
    u, v = fitted.parts(blobs.TRAIN), fitted.parts(blobs.TEST)
    np.testing.assert_allclose(fitted.score(blobs.TEST), log_normal(u, v), rtol=1e-4)


def test_apart_it_is_the_sum_over_parts():
    fitted = replace(GAUSSIAN, apart=True).fit(blobs.NETWORK, GIVEN)
    u, v = fitted.parts(blobs.TRAIN), fitted.parts(blobs.TEST)
    groups = (slice(0, 4), slice(4, 7), slice(7, 11))
    expected = sum(log_normal(u[:, g], v[:, g]) for g in groups)
    np.testing.assert_allclose(fitted.score(blobs.TEST), expected, rtol=1e-4)
    joint = GAUSSIAN.fit(blobs.NETWORK, GIVEN)
    assert np.abs(joint.score(blobs.TEST) - expected).max() > 1


def test_of_uncorrelated_parts_the_joint_is_the_sum_of_the_parts():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20, 2))
    # every a with every b: exactly independent
    u = np.concatenate([np.repeat(a, 20, 0), np.tile(b, (20, 1))], axis=1)
    v = rng.normal(size=(50, 4))
    options = {"steps": 50, "batch_size": 64, "learning_rate": 1e-2, "seed": 0}
    fit = partial(VectorDensity.fit, **options, name="test")
    parts = [fit(u[:, :2], Gaussian), fit(u[:, 2:], Gaussian)]
    expected = parts[0].log_prob(v[:, :2]) + parts[1].log_prob(v[:, 2:])
    np.testing.assert_allclose(fit(u, Gaussian).log_prob(v), expected, rtol=1e-5)


def test_only_the_joint_sees_what_is_usual_part_by_part():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(400, 2))
    u = np.concatenate([a, a + 0.2 * rng.normal(size=(400, 2))], axis=1)
    # every part is one that was seen, but of another row
    exchanged = np.concatenate([u[:, :2], np.roll(u[:, 2:], 1, 0)], axis=1)
    options = {"steps": 1, "batch_size": 8, "learning_rate": 1e-9, "seed": 0}
    fit = partial(VectorDensity.fit, flow=Gaussian, **options, name="test")
    joint, first, second = fit(u), fit(u[:, :2]), fit(u[:, 2:])
    assert auroc(joint.log_prob(u), joint.log_prob(exchanged)).value > 0.97
    apart = [
        first.log_prob(v[:, :2]).sum() + second.log_prob(v[:, 2:]).sum()
        for v in (u, exchanged)
    ]
    assert np.isclose(*apart, rtol=1e-9)


@pytest.mark.thorough
def test_it_is_a_density_and_gains_by_training():
    """It integrates to 1, and training raises the likelihood of what has two modes."""
    rng = np.random.default_rng(0)
    side = rng.choice([-1.0, 1.0], 600)
    u = np.stack([3 * side, 2 + side], 1) + 0.3 * rng.normal(size=(600, 2))
    flow = partial(TabularRealNVP, couplings=4, width=32, max_log_scale=1.0)
    options = {"batch_size": 128, "learning_rate": 5e-3, "seed": 0, "name": "test"}
    fitted = VectorDensity.fit(u, flow, steps=300, **options)
    start = VectorDensity.fit(u, Gaussian, steps=1, **options)
    assert fitted.log_prob(u).mean() > start.log_prob(u).mean() + 0.2
    axis = np.linspace(-12, 12, 240)
    x, y = np.meshgrid(axis, axis)
    total = np.exp(fitted.log_prob(np.stack([x.ravel(), y.ravel()], 1))).sum()
    assert abs(total * (axis[1] - axis[0]) ** 2 - 1) < 0.02


def test_numbers_that_follow_from_others_are_left_out():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(200, 3))
    copied = np.concatenate([u, u[:, :1] - 2 * u[:, 1:2], np.ones((200, 1))], axis=1)
    options = {"steps": 1, "batch_size": 8, "learning_rate": 1e-9, "seed": 0}
    fitted = VectorDensity.fit(copied, Gaussian, **options, name="test")
    assert fitted.whiten.shape == (5, 3)
    # one more number that follows changes the density by a constant
    plain = VectorDensity.fit(u, Gaussian, **options, name="test")
    difference = fitted.log_prob(copied) - plain.log_prob(u)
    assert np.ptp(difference) < 1e-3


@pytest.mark.thorough
def test_outliers_batches_and_calibration(fitted):
    assert blobs.area(fitted, blobs.far()) > 0.99
    assert blobs.area(fitted, blobs.between()) > 0.9
    scores = fitted.score(blobs.TEST)
    np.testing.assert_allclose(fitted.score(blobs.TEST, 7), scores, rtol=1e-4)
    again = JOINT.fit(blobs.NETWORK, GIVEN)
    np.testing.assert_array_equal(again.score(blobs.TEST), scores)
    assert len(fitted.known) == 300
    with pytest.raises(ValueError, match="calibration images are training images"):
        fitted.calibrated(blobs.TRAIN[:30], given=GIVEN)
    assert JOINT.requires == Requires(train_inputs=True, gradients=True)
    by_head = replace(JOINT, explanation="head", inputs=2)
    assert by_head.requires == Requires(train_inputs=True, head=True)
    assert by_head.fit(blobs.NETWORK, GIVEN).parts(blobs.TEST).shape == (90, 29)


def test_of_parts_alone():
    one = replace(GAUSSIAN, parts=("outputs", "inputs")).fit(blobs.NETWORK, GIVEN)
    assert one.parts(blobs.TEST).shape == (90, 7)
    integrated = replace(GAUSSIAN, explanation="integrated", parts=("explanation",))
    found = integrated.fit(blobs.NETWORK, GIVEN).parts(blobs.TEST)
    expected = explanation(
        blobs.NETWORK, blobs.TEST, "integrated", 2, baseline=blobs.TRAIN.mean(0)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_what_it_refuses(fitted):
    fit = partial(JOINT.fit, blobs.NETWORK)
    with pytest.raises(ValueError, match="JointDensity needs train_inputs, the train"):
        fit(Given())
    with pytest.raises(ValueError, match=r"needs network\.apply"):
        JOINT.fit(replace(blobs.NETWORK, apply=None), GIVEN)
    for changes, said in {
        (("explanation_grid", 3),): "grid=3 does not divide images of 4 x 4",
        (("inputs", 17),): "inputs=17 principal components, .* vary in 16 directions",
        (("learning_rate", 1e9),): "did not stay finite.*smaller learning_rate",
    }.items():
        with pytest.raises(ValueError, match=said):
            replace(JOINT, **dict(changes)).fit(blobs.NETWORK, GIVEN)
    for wrong in ({"inputs": 0}, {"explanation": "lime"}, {"steps": 0}):
        with pytest.raises(ValueError, match=f"JointDensity: {next(iter(wrong))} must"):
            JointDensity(**wrong)
    for parts in ((), "inputs", ("pixels",)):
        with pytest.raises(ValueError, match="parts must be a tuple of inputs"):
            JointDensity(parts=parts)
    with pytest.raises(ValueError, match="by 11 numbers and got 11 training inputs"):
        fit(Given(train_inputs=blobs.TRAIN[:11]))
    with pytest.raises(ValueError, match=r"shape \(8, 8, 1\) cannot be described"):
        fitted.score(np.zeros((3, 8, 8, 1), np.float32))
    bad = blobs.TEST.copy()
    bad[5] = np.nan
    with pytest.raises(ValueError, match=r"no score for 1 of 90 inputs.*number 5"):
        fitted.score(bad)
    constant = Network(lambda _, x: ({}, jnp.ones((len(x), 2))), mean=(0.5,))
    with pytest.raises(ValueError, match="do not vary"):
        replace(JOINT, parts=("outputs",)).fit(constant, GIVEN)
    ramp = Network(lambda _, x: ({}, jnp.sum(x, (1, 2)) * jnp.ones(2)), mean=(0.5,))
    with pytest.raises(ValueError, match="varies in 1 direction, and a flow"):
        replace(JOINT, parts=("outputs",)).fit(ramp, GIVEN)
    tokens = Network(lambda _, x: ({}, x * 1.0))
    with pytest.raises(TypeError, match=r"JointDensity changes its input.*int"):
        JOINT.fit(tokens, Given(train_inputs=np.zeros((30, 5), int)))

"""Scores of logits against SciPy, and their detectors on blobs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowjax_ood.ood import GEN, MSP, Energy, Entropy, KLMatching, MaxLogit
from flowjax_ood.ood.detectors import logits as scores
from flowjax_ood.ood.network import Outputs
from tests.helpers import blobs

Z = np.random.RandomState(0).randn(20, 7) * 2
P = special.softmax(Z, axis=1)
ALL = [MSP(), MaxLogit(), Energy(), Entropy(), GEN(), KLMatching()]
DETECTORS = pytest.mark.parametrize("detector", ALL, ids=lambda d: d.name)


def gen(p, gamma, top):
    largest = -np.sort(-p, axis=1)[:, :top]
    return -np.sum(largest**gamma * (1 - largest) ** gamma, axis=1)


TEMPLATES = special.softmax(np.random.RandomState(1).randn(3, 7), axis=1)
FORMULAS = {
    "msp": (scores.msp, special.logit(P.max(1))),
    "msp at 10": (
        lambda z: scores.msp(z, 10),
        special.logit(special.softmax(Z / 10, axis=1).max(1)),
    ),
    "max_logit": (scores.max_logit, Z.max(1)),
    "energy": (scores.energy, np.log(np.exp(Z).sum(1))),
    "energy at 3": (
        lambda z: scores.energy(z, 3),
        3 * np.log(np.exp(Z / 3).sum(1)),
    ),
    "neg_entropy": (scores.neg_entropy, -stats.entropy(P, axis=1)),
    "gen": (scores.gen, gen(P, 0.1, 7)),
    "gen of three": (lambda z: scores.gen(z, 0.5, 3), gen(P, 0.5, 3)),
    "kl_matching": (
        lambda z: scores.kl_matching(z, np.log(TEMPLATES)),
        -np.min([stats.entropy(P, d[None], axis=1) for d in TEMPLATES], axis=0),
    ),
}


@jax.jit
def scored(z):
    """By every formula, in one program."""
    return {name: score(z) for name, (score, _) in FORMULAS.items()}


def test_formulas():
    with jax.enable_x64(True):
        wide = scored(jnp.asarray(Z))
        narrow = scored(jnp.asarray(Z, jnp.float32))
    for name, (_, expected) in FORMULAS.items():
        np.testing.assert_allclose(wide[name], expected, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(
            narrow[name], expected, rtol=1e-4, atol=1e-5, err_msg=name
        )


SURE = np.float32([[30, 0, 0], [30, 1, 0], [60, 0, 0], [60, 2, 0], [500, 0, 0]])


def exact(score, z):
    """Of float64 numbers, which these logits do not saturate but for the last."""
    with jax.enable_x64(True):
        return np.asarray(jax.jit(score)(jnp.asarray(z, jnp.float64)))


@pytest.mark.parametrize("score", [scores.msp, scores.neg_entropy, scores.gen])
def test_saturated_predictions_are_told_apart(score):
    """In float32, p is 1 for all of them, and 1 - p is 0."""
    z = SURE[:4]
    found = np.asarray(jax.jit(score)(z))
    assert found.argsort().tolist() == [1, 0, 3, 2]
    np.testing.assert_allclose(found, exact(score, z), rtol=2e-5)


def test_msp_of_saturated_predictions_by_hand():
    expected = -np.log(np.exp(SURE[:, 1:].astype(np.float64)).sum(1)) + SURE[:, 0]
    np.testing.assert_allclose(jax.jit(scores.msp)(SURE), expected, rtol=1e-6)


def test_gen_of_saturated_predictions_by_hand():
    """`(1 - p)^gamma` of the first and `p^gamma` of the others, the factors 1 out."""
    rest = np.exp(SURE[:4, 1:].astype(np.float64) - SURE[:4, :1])
    expected = -(rest.sum(1) ** 0.1 + (rest**0.1).sum(1))
    np.testing.assert_allclose(jax.jit(scores.gen)(SURE[:4]), expected, rtol=1e-5)


def test_log_probabilities_of_any_logits():
    z = np.concatenate([Z, np.pad(SURE[:4], ((0, 0), (0, 4)), constant_values=-9)])
    z = z.astype(np.float32)
    log_p, log_rest = jax.jit(scores.log_probabilities)(z)
    p = special.softmax(z.astype(np.float64), axis=1)
    rest = np.stack([np.delete(p, c, axis=1).sum(1) for c in range(7)], axis=1)
    np.testing.assert_allclose(np.exp(np.float64(log_p)), p, rtol=2e-5)
    np.testing.assert_allclose(np.exp(np.float64(log_rest)), rest, rtol=2e-5)


def test_two_classes_alike():
    alike = np.full((1, 2), 3, np.float32)
    log_p, log_rest = jax.jit(scores.log_probabilities)(alike)
    np.testing.assert_allclose([log_p, log_rest], np.log(0.5), rtol=1e-6)
    assert jax.jit(scores.msp)(alike) == 0


def test_one_class():
    one = np.ones((2, 1), np.float32)
    assert jax.jit(scores.msp)(one).tolist() == [np.inf, np.inf]
    for score in (scores.neg_entropy, scores.gen):
        assert not jax.jit(score)(one).any()


ROWS = [scores.msp, scores.energy, scores.neg_entropy, scores.gen]


@pytest.mark.parametrize("score", ROWS)
def test_no_score_of_nan(score):
    z = jnp.asarray([[1.0, jnp.nan, 0], [1, 2, 3]])
    assert np.isnan(jax.jit(score)(z)).tolist() == [True, False]


def test_no_msp_of_an_infinite_logit():
    found = jax.jit(scores.msp)(np.float32([[np.inf, 0], [0, -np.inf]]))
    assert np.isnan(found).tolist() == [True, False]


def test_large_and_saturated_logits_are_finite():
    z = np.float32([[1e4, 0, -1e4], [-1e4, -1e4, -1e4], [0, 0, 0]])
    for name, found in scored(np.pad(z, ((0, 0), (0, 4)), mode="edge")).items():
        assert np.isfinite(found).all(), name


def test_templates_are_means_of_predictions_by_predicted_class():
    rng = np.random.RandomState(2)
    train = (rng.randn(50, 4) * 3 + [0, 1, 2, -40]).astype(np.float32)
    p = special.softmax(train.astype(np.float64), axis=1)
    predicted = train.argmax(1)
    assert set(predicted) == {0, 1, 2}  # the last class has no template
    templates = np.array([p[predicted == c].mean(0) for c in range(3)])
    new = rng.randn(9, 4).astype(np.float32)
    q = special.softmax(new.astype(np.float64), axis=1)
    kl = np.sum(q[:, None] * np.log(q[:, None] / templates), axis=2)
    fitted = KLMatching().fit(
        blobs.NETWORK, blobs.given(train=Outputs(train, train, {}))
    )
    found = fitted.score_outputs(Outputs(new, new, {}))
    np.testing.assert_allclose(found, -kl.min(1), rtol=1e-4, atol=1e-5)


# These trust confidence, which grows without bound in a ReLU network along any ray out
# of the data: their outliers are images between the blobs, and grey ones.
@DETECTORS
@pytest.mark.parametrize("outliers", [blobs.between, blobs.grey])
def test_unclear_images_are_outliers(detector, outliers):
    assert blobs.area(detector.fit(blobs.NETWORK, blobs.given()), outliers()) > 0.95


@pytest.mark.parametrize("detector", [MaxLogit(), Energy()], ids=lambda d: d.name)
def test_the_sign_is_never_flipped_by_data(detector):
    """Confident in far outliers, and it stays so."""
    assert blobs.area(detector.fit(blobs.NETWORK, blobs.given()), blobs.far()) < 0.2


def test_options_reach_the_score():
    outputs = blobs.NETWORK.collect(blobs.TEST)
    z = outputs.logits
    for detector, expected in [
        (Energy(5.0), jax.jit(scores.energy)(z, 5.0)),
        (GEN(0.7), jax.jit(scores.gen)(z, 0.7)),
    ]:
        found = detector.fit(blobs.NETWORK).score_outputs(outputs)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.thorough
def test_log_odds_of_equals_have_the_mean_of_both_gradients():
    z = np.array([1.0, 1.0, 0.5], np.float32)
    step = np.eye(3, dtype=np.float32) * 1e-2
    sides = (scores.log_odds(z + step) - scores.log_odds(z - step)) / 2e-2
    np.testing.assert_allclose(jax.grad(scores.log_odds)(z), sides, atol=2e-2)

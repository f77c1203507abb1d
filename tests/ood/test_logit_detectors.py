"""Scores of logits against SciPy, and their detectors on blobs."""

import blobs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowjax_ood.ood import GEN, MSP, Energy, Entropy, KLMatching, MaxLogit
from flowjax_ood.ood import logit_detectors as scores
from flowjax_ood.ood.network import Outputs

Z = np.random.RandomState(0).randn(20, 7) * 2
P = special.softmax(Z, axis=1)
ALL = [MSP(), MaxLogit(), Energy(), Entropy(), GEN(), KLMatching()]
DETECTORS = pytest.mark.parametrize("detector", ALL, ids=lambda d: d.name)


def gen(p, gamma, top):
    largest = -np.sort(-p, axis=1)[:, :top]
    return -np.sum(largest**gamma * (1 - largest) ** gamma, axis=1)


TEMPLATES = special.softmax(np.random.RandomState(1).randn(3, 7), axis=1)
FORMULAS = {
    "msp": (scores.msp, np.log(P.max(1))),
    "msp at 10": (
        lambda z: scores.msp(z, 10),
        np.log(special.softmax(Z / 10, axis=1).max(1)),
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


@pytest.mark.parametrize(("score", "expected"), FORMULAS.values(), ids=FORMULAS)
def test_formula(score, expected):
    with jax.enable_x64(True):
        np.testing.assert_allclose(score(jnp.asarray(Z)), expected, rtol=1e-9)
    narrow = score(jnp.asarray(Z, jnp.float32))
    np.testing.assert_allclose(narrow, expected, rtol=1e-4, atol=1e-5)


def test_msp_tells_confident_predictions_apart():
    sure = scores.msp(jnp.asarray([[30.0, 0, 0], [40.0, 0, 0], [80.0, 0, 0]]))
    assert sure[0] < sure[1] < sure[2] < 0
    np.testing.assert_allclose(sure, -2 * np.exp([-30.0, -40, -80]), rtol=1e-5)


@pytest.mark.parametrize("score", [scores.msp, scores.energy, scores.neg_entropy])
def test_no_score_of_nan(score):
    z = jnp.asarray([[1.0, jnp.nan, 0], [1, 2, 3]])
    assert np.isnan(score(z)).tolist() == [True, False]


def test_no_msp_of_an_infinite_logit():
    assert np.isnan(
        scores.msp(jnp.asarray([[jnp.inf, 0.0], [0, -jnp.inf]]))
    ).tolist() == [
        True,
        False,
    ]


def test_large_and_saturated_logits_are_finite():
    z = jnp.asarray([[1e4, 0, -1e4], [-1e4, -1e4, -1e4], [0, 0, 0]])
    for score, _ in FORMULAS.values():
        found = score(jnp.pad(z, ((0, 0), (0, 4)), mode="edge"))
        assert np.isfinite(found).all()


def test_templates_are_means_of_predictions_by_predicted_class():
    rng = np.random.RandomState(2)
    train = (rng.randn(50, 4) * 3 + [0, 1, 2, -40]).astype(np.float32)
    p = special.softmax(train.astype(np.float64), axis=1)
    predicted = train.argmax(1)
    assert set(predicted) == {0, 1, 2}  # the last class has no template
    templates = np.array([p[predicted == c].mean(0) for c in range(3)])
    templates = np.clip(templates, scores.LEAST, 1)
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
        (Energy(5.0), scores.energy(z, 5.0)),
        (GEN(0.7), scores.gen(z, 0.7)),
    ]:
        found = detector.fit(blobs.NETWORK).score_outputs(outputs)
        np.testing.assert_allclose(found, expected, rtol=1e-6)

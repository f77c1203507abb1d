"""Scores of several predictions by hand, deep ensembles and MC dropout on blobs."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowjax_ood.ood import MSP, DeepEnsemble, MCDropout, Network
from flowjax_ood.ood.detectors.ensembles import ensemble_score
from tests.helpers import blobs

LOGITS = np.random.RandomState(0).randn(5, 8, 4) * 3
P = special.softmax(LOGITS, axis=-1)
ENTROPIES = stats.entropy(P, axis=-1).mean(0)
EXPECTED = {
    "mean_max": special.logit(P.max(-1).mean(0)),
    "max_mean": special.logit(P.mean(0).max(-1)),
    "neg_entropy": -stats.entropy(P.mean(0), axis=-1),
    "neg_mutual_information": ENTROPIES - stats.entropy(P.mean(0), axis=-1),
    "msp_of_mean_logits": special.logit(
        special.softmax(LOGITS.mean(0), axis=-1).max(-1)
    ),
    "max_mean_logit": LOGITS.mean(0).max(-1),
    "energy_of_mean_logits": special.logsumexp(LOGITS.mean(0), axis=-1),
}
NET = blobs.NETWORK


@jax.jit
def scored(logits):
    """By every score, in one program."""
    return {score: ensemble_score(logits, score) for score in EXPECTED}


def member(seed: int) -> Network:
    """The network with a head of its own."""
    noise = np.random.RandomState(seed).randn(*blobs.W.shape).astype(np.float32)
    return replace(NET, variables={**NET.variables, "w": blobs.W + 0.2 * noise})


MEMBERS = [member(1), member(2), NET]


def test_formulas():
    with jax.enable_x64(True):
        wide = scored(jnp.asarray(LOGITS))
        narrow = scored(jnp.asarray(LOGITS, jnp.float32))
    for score, expected in EXPECTED.items():
        np.testing.assert_allclose(wide[score], expected, rtol=1e-10)
        np.testing.assert_allclose(narrow[score], expected, rtol=1e-4, atol=1e-6)


def test_certain_members_have_finite_scores():
    z = jnp.asarray([[[500.0, 0, 0]], [[0, 500.0, 0]]])
    expected = {
        "mean_max": 500 - np.log(2),  # two others
        "max_mean": 0,  # log-odds of 1/2
        "neg_entropy": -np.log(2),
        "neg_mutual_information": -np.log(2),
        "msp_of_mean_logits": 0,
        "max_mean_logit": 250,
        "energy_of_mean_logits": 250 + np.log(2),
    }
    for score, found in scored(z).items():
        np.testing.assert_allclose(found, expected[score], rtol=1e-6, atol=1e-6)


def test_saturated_members_are_told_apart():
    """In float32, their probabilities are all 1."""
    z = np.float32([[[40, 0, 0], [50, 0, 0], [60, 0, 0]], [[45, 0, 0]] * 3])
    found = scored(z)
    with jax.enable_x64(True):
        exact = scored(jnp.asarray(z, jnp.float64))
    for score in ("mean_max", "max_mean", "neg_entropy"):
        assert (np.diff(found[score]) > 0).all()
        np.testing.assert_allclose(found[score], exact[score], rtol=1e-4)


@pytest.mark.thorough
def test_deep_ensemble_averages_its_members():
    networks = MEMBERS[:2]
    x = blobs.between(12)
    logits = np.stack([n.apply(n.variables, x)[1] for n in networks])
    for scoring, expected in scored(logits).items():
        fitted = DeepEnsemble(scoring).fit(networks)
        np.testing.assert_allclose(fitted.score(x, 5), expected, rtol=1e-4, atol=1e-5)
    assert fitted.chosen["members"] == 2
    assert fitted.requires.retraining


def test_members_may_differ_in_architecture():
    other = Network(lambda b, x: ({}, x.reshape(len(x), -1)[:, :3] + b), 1.0)
    found = DeepEnsemble().fit([NET, other]).score(blobs.TEST)
    one = special.expit(MSP().fit(NET).score(blobs.TEST))
    two = special.expit(MSP().fit(other).score(blobs.TEST))
    np.testing.assert_allclose(special.expit(found), (one + two) / 2, rtol=1e-5)


@pytest.mark.parametrize("scoring", EXPECTED)
def test_unclear_images_are_outliers_of_ensembles(scoring):
    fitted = DeepEnsemble(scoring).fit(MEMBERS)
    assert blobs.area(fitted, blobs.between()) > 0.9
    assert blobs.area(fitted, blobs.grey()) > 0.9


def drop(variables, x, key):
    """Of the hidden units, a fifth at random are zero."""
    taps, _ = NET.apply(variables, x)
    f = taps["dense"]
    f = jnp.where(jax.random.bernoulli(key, 0.8, f.shape), f / 0.8, 0)
    return f @ variables["w"] + variables["b"]


DROPPING = replace(NET, sample=drop)


def test_mc_dropout_of_no_dropout_is_one_prediction():
    network = replace(NET, sample=lambda v, x, key: NET.apply(v, x)[1])
    found = MCDropout(passes=3).fit(network).score(blobs.TEST)
    expected = MSP().fit(NET).score(blobs.TEST)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    found = MCDropout(passes=3, scoring="var").fit(network).score(blobs.TEST)
    np.testing.assert_allclose(found, 0, atol=1e-8)


@pytest.mark.thorough
def test_mc_dropout_by_hand():
    x, passes = jnp.asarray(blobs.TEST[:6]), 4
    keys = [jax.random.fold_in(jax.random.key(3), t) for t in range(passes)]
    # every input by itself, with what its pass drops of all of them
    logits = np.stack(
        [[drop(NET.variables, row[None], k)[0] for row in x] for k in keys]
    ).astype(np.float64)
    mean = special.softmax(logits, axis=-1).mean(0)
    variance = logits.var(0)[np.arange(6), mean.argmax(1)]
    assert variance.min() > 0
    p = special.softmax(logits, axis=-1)
    by_hand = {
        "mu": special.logit(mean.max(1)),
        "logits": special.logit(special.softmax(logits.mean(0), axis=-1).max(1)),
        "var": -variance,
        "softmax_var": -p.var(0).mean(-1),
    }
    for scoring, expected in by_hand.items():
        fitted = MCDropout(passes, scoring, seed=3).fit(DROPPING)
        np.testing.assert_allclose(fitted.score(x), expected, rtol=1e-3)
        np.testing.assert_array_equal(fitted.score(x), fitted.score(x))
    other = MCDropout(passes, seed=4).fit(DROPPING)
    assert not np.array_equal(other.score(x), MCDropout(passes).fit(DROPPING).score(x))


@pytest.mark.parametrize("scoring", ["mu", "var"])
def test_what_is_dropped_depends_on_no_batch_and_no_order(scoring):
    fitted = MCDropout(4, scoring).fit(DROPPING)
    expected = fitted.score(blobs.TEST, 90)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(fitted.score(blobs.TEST, 7), expected, **close)
    order = np.random.RandomState(0).permutation(90)
    np.testing.assert_allclose(
        fitted.score(blobs.TEST[order], 90), expected[order], **close
    )


def test_unclear_images_are_outliers_of_mc_dropout():
    fitted = MCDropout(passes=16).fit(DROPPING)
    assert blobs.area(fitted, blobs.between()) > 0.9
    assert blobs.area(fitted, blobs.grey()) > 0.9


def test_images_whose_logits_vary_are_outliers_by_variance():
    """Logits of dropped units vary with the features' length: far images' the most."""
    fitted = MCDropout(passes=16, scoring="var").fit(DROPPING)
    assert blobs.area(fitted, blobs.far()) > 0.95


def test_errors():
    with pytest.raises(ValueError, match="two members or more, got 1"):
        DeepEnsemble().fit([NET])
    with pytest.raises(TypeError, match=r"several networks, got one: fit\(\[first"):
        DeepEnsemble().fit(NET)
    for unknown in (DeepEnsemble, lambda s: ensemble_score(jnp.asarray(LOGITS), s)):
        with pytest.raises(ValueError, match=r"unknown score 'best'; .*mean_max, "):
            unknown("best")
    with pytest.raises(ValueError, match=r"network\.sample"):
        MCDropout().fit(NET)
    bad = blobs.TEST.copy()
    bad[7] = np.nan
    for fitted in (DeepEnsemble().fit(MEMBERS), MCDropout(2).fit(DROPPING)):
        with pytest.raises(ValueError, match=r"has no score.*first is number 7"):
            fitted.score(bad)

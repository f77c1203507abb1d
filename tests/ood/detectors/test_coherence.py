"""Agreement of an ensemble's members as a score: by hand, where it is near its ends."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowjax_ood import ood
from flowjax_ood.ood import Coherence, DeepEnsemble, Network
from tests.helpers.tiny_members import ensemble, images

MODULE, VARIABLES = ensemble()
MEMBERS = MODULE.networks(VARIABLES)
X = images(70)
P = special.softmax(
    np.float64([network.collect(X).logits for network in MEMBERS]), axis=-1
)


def cosine(one, two):
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(two, axis=-1)
    return (one * two).sum(-1) / lengths


def test_it_is_the_largest_cosine_of_two_members():
    pairs = [cosine(P[i], P[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    fitted = Coherence().fit(MEMBERS)
    found = fitted.score(X)
    np.testing.assert_allclose(1 + found, np.max(pairs, axis=0), rtol=1e-5)
    assert (np.std(pairs, axis=0) > 0.01).mean() > 0.9
    assert ((found >= -1) & (found <= 0)).all()
    # whatever the order of the members, and the batches
    np.testing.assert_allclose(Coherence().fit(MEMBERS[::-1]).score(X), found, 1e-5)
    np.testing.assert_allclose(fitted.score(X, 9), found, rtol=1e-5)
    assert fitted.chosen == {"members": 3}
    assert fitted.requires.retraining


def test_copies_of_one_network_agree():
    np.testing.assert_array_equal(Coherence().fit([MEMBERS[0]] * 3).score(X), 0)


def answering(logits):
    """Members with logits `[M, N, 4]`: row i for the image whose pixels are all i."""

    def apply(variables, x):
        return {}, variables[jnp.round(255 * x[:, 0, 0, 0]).astype(int)]

    return [Network(apply, np.float32(of_member)) for of_member in logits]


def test_confident_members_are_told_apart():
    """In float64, from the same logits; cosines are 1 in float32 throughout."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(3, 140, 4))
    # what is left of the top class is 1e-3 to 1e-9, less for the first half
    z[..., 2] += np.r_[rng.uniform(11, 22, 70), rng.uniform(8, 20, 70)]
    z = np.float64(np.float32(z))
    u = special.softmax(z, axis=-1)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    pairs = [((u[i] - u[j]) ** 2).sum(-1) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = -np.min(pairs, axis=0) / 2
    x = np.broadcast_to(
        np.arange(140, dtype=np.uint8)[:, None, None, None], (140, 8, 8, 1)
    )
    found = Coherence().fit(answering(z)).score(x)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    area = ood.auroc(found[:70], found[70:]).value
    assert area == pytest.approx(ood.auroc(expected[:70], expected[70:]).value)
    assert 0.6 < area < 0.95
    # this is what is mended: few values are left of the cosine itself
    assert len(np.unique(np.float32(1 + expected))) < 70


def test_members_without_a_class_in_common_do_not():
    def certain(label):
        one = 300 * np.eye(4, dtype=np.float32)[label]
        return Network(lambda v, x: ({}, np.zeros((len(x), 4), np.float32) + v), one)

    two = [certain(0), certain(1)]
    np.testing.assert_array_equal(Coherence().fit(two).score(X), -1)
    # two of three agree
    three = Coherence().fit([*two, certain(0)])
    np.testing.assert_array_equal(three.score(X), 0)


def test_deep_ensembles_of_members_have_their_mutual_information():
    information = stats.entropy(P.mean(0), axis=-1) - stats.entropy(P, axis=-1).mean(0)
    fitted = DeepEnsemble("neg_mutual_information").fit(MEMBERS)
    np.testing.assert_allclose(fitted.score(X), -information, rtol=1e-3, atol=1e-6)


def test_errors():
    with pytest.raises(TypeError, match=r"several networks, got one: fit\(\[first"):
        Coherence().fit(MEMBERS[0])
    with pytest.raises(ValueError, match="two members or more, got 1"):
        Coherence().fit(MEMBERS[:1])
    other = Network(lambda _, x: ({}, x.reshape(len(x), -1)[:, :3]))
    for detector in (Coherence(), DeepEnsemble()):
        with pytest.raises(ValueError, match=r"the same classes, these have \[3, 4\]"):
            detector.fit([MEMBERS[0], other]).score(X)

    def broken(variables, x):
        taps, logits = MEMBERS[1].apply(variables, x)
        return taps, logits + np.where(np.arange(len(x)) == 7, np.nan, 0.0)[:, None]

    bad = replace(MEMBERS[1], apply=broken)
    fitted = Coherence().fit([MEMBERS[0], bad, MEMBERS[2]])
    with pytest.raises(ValueError, match=r"Coherence has no score.*first is number 7"):
        fitted.score(X)

"""WeiPer+KLD by histograms in float64 NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import Outputs, WeiPer
from flowjax_ood.ood.detectors.weiper import density, divergence, perturbed, smoothed
from tests.helpers import blobs

NET, GIVEN = blobs.NETWORK, blobs.given()
SETTINGS = WeiPer(repeats=10, bins=20, smoothing=(3, 4))


def mean_of_neighbours(q, size):
    """Of a row: a window of `size`, the middle of an even one to the left."""
    before = (size - 1) // 2
    padded = [q[0]] * before + list(q) + [q[-1]] * (size - 1 - before)
    return np.array([np.mean(padded[i : i + size]) for i in range(len(q))])


def by_hand(train, f):
    w = perturbed(blobs.W, 1.8, 10, GIVEN.seed)
    logits = [a @ w + np.tile(np.float64(blobs.B), 10) for a in (train, f)]
    p = special.softmax(logits[1].reshape(len(f), 10, 3), axis=2)
    scores = 0.1 * p.max(2).mean(1)
    sets = ((train, f, 3, 0.01, 1.0), (*logits, 4, 0.025, 2.5))
    for known, new, size, floor, weight in sets:
        edges = np.linspace(known.min(), known.max(), 21)
        share = [np.histogram(row, edges)[0] / len(row) for row in known]
        p = np.mean(share, axis=0) + floor
        p /= p.sum()
        for i, row in enumerate(new):
            q = mean_of_neighbours(np.histogram(row, edges)[0] / len(row), size) + floor
            q /= q.sum()
            kl = np.sum(p * np.log(p / q)) + np.sum(q * np.log(q / p))
            scores[i] -= weight * kl
    return scores


def test_score_and_orientation():
    fitted = SETTINGS.fit(NET, GIVEN)
    x = np.concatenate([blobs.TEST[:30], blobs.grey(30), blobs.far(30)])
    outputs = NET.collect(x)
    train, f = (np.float64(o.features) for o in (GIVEN.train, outputs))
    # values at an edge may be counted on its other side
    np.testing.assert_allclose(
        fitted.score_outputs(outputs), by_hand(train, f), rtol=0.01, atol=0.01
    )
    for outliers in (blobs.grey(), blobs.far()):
        assert blobs.area(fitted, outliers) > 0.9


def test_weights_are_moved_by_a_share_of_their_length():
    w = blobs.W
    moved = perturbed(w, 1.8, 5, seed=1).reshape(len(w), 5, 3) - w[:, None]
    lengths = np.linalg.norm(moved, axis=0)
    expected = 1.8 * np.linalg.norm(np.float64(w), axis=0)
    np.testing.assert_allclose(lengths, np.tile(expected, (5, 1)))
    assert np.abs(np.corrcoef(moved[:, 0].T)[0, 1:]).max() < 0.9


@pytest.mark.thorough
def test_pieces():
    values = np.float32([[0, 1, 1.9, 2], [-1, 5, 0.5, 3]])
    np.testing.assert_allclose(density(values, 0.0, 2.0, 2), [[0.25, 0.75], [0.25, 0]])
    assert np.isnan(density(values * np.nan, 0.0, 2.0, 2)).all()
    q = np.float32([[1, 2, 6, 3]])
    for size in (1, 2, 3, 4, 6):
        expected = mean_of_neighbours(q[0], size)[None]
        np.testing.assert_allclose(smoothed(q, size), expected, rtol=1e-6)
    p = np.float32([0.5, 0.5])
    q = np.float32([[0.5, 0.5], [1, 0]])
    found = divergence(p, q, 0.5)
    # 1/2 against 3/4 and 1/4: KL either way
    both = 0.5 * np.log(4 / 3) + 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(found, [0, both], rtol=1e-5, atol=1e-7)


def test_errors():
    with pytest.raises(ValueError, match=r"smoothing must be a pair; got \(4,\)"):
        WeiPer(smoothing=(4,))
    with pytest.raises(ValueError, match=r"bins must be an integer .*got 0"):
        WeiPer(bins=0)
    flat = Outputs(np.tile(blobs.B, (9, 1)), np.zeros((9, blobs.UNITS), np.float32), {})
    with pytest.raises(ValueError, match=r"all features of all training inputs"):
        SETTINGS.fit(NET, replace(GIVEN, train=flat, labels=blobs.LABELS[:9]))

"""Distances to the k-th neighbour against scikit-learn, in and across blocks."""

import jax
import numpy as np
import pytest
from sklearn import neighbors, preprocessing

from flowjax_ood.ood import NearestNeighbors, nearest_neighbors

RNG = np.random.RandomState(0)
X = (RNG.randn(50, 6) + 3).astype(np.float32)
NEW = (RNG.randn(21, 6) + 3).astype(np.float32)


def expected(x, new, k):
    model = neighbors.NearestNeighbors(n_neighbors=k).fit(x.astype(np.float64))
    return -model.kneighbors(new.astype(np.float64))[0][:, -1]


@pytest.fixture(params=[(256, 4096), (8, 16)], ids=["one block", "blocks"])
def blocks(request, monkeypatch):
    queries, references = request.param
    monkeypatch.setattr(nearest_neighbors, "QUERIES", queries)
    monkeypatch.setattr(nearest_neighbors, "REFERENCES", references)
    jax.clear_caches()  # compiled for other blocks
    yield references
    jax.clear_caches()


@pytest.mark.thorough
@pytest.mark.parametrize("k", [1, 7, 50])
def test_the_distance_is_that_of_scikit_learn(blocks, k):
    plain = NearestNeighbors.fit(X, k=k, normalize=False)
    assert plain.references.shape[1] == min(blocks, 50)
    np.testing.assert_allclose(plain.score(NEW), expected(X, NEW, k), rtol=1e-5)
    unit = [preprocessing.normalize(x.astype(np.float64)) for x in (X, NEW)]
    normalized = NearestNeighbors.fit(X, k=k)
    np.testing.assert_allclose(normalized.score(NEW), expected(*unit, k), rtol=1e-5)


def test_small_distances_far_from_the_origin():
    far = X + 1000
    near = far[:21] + np.float32(2**-10)
    detector = NearestNeighbors.fit(far, k=1, normalize=False)
    np.testing.assert_allclose(
        detector.score(near), expected(far, near, 1), rtol=1e-3, atol=0
    )
    np.testing.assert_array_equal(detector.score(far), np.zeros(50))


def test_fitted_features_are_their_own_first_neighbour():
    detector = NearestNeighbors.fit(X, k=1)
    assert np.abs(detector.score(X)).max() < 1e-6
    again = NearestNeighbors.fit(np.concatenate([X, X]), k=2)
    assert np.abs(again.score(X)).max() < 1e-6


def test_normalised_scores_do_not_see_lengths():
    detector = NearestNeighbors.fit(X, k=3)
    base = detector.score(NEW)
    for scale in (1e-20, 1e25):
        np.testing.assert_allclose(
            detector.score(NEW * np.float32(scale)), base, rtol=1e-5
        )
    assert -2 <= np.min(base) <= np.max(base) <= 0


def test_zeros_and_dead_features_have_finite_scores():
    dead = X * np.array([1, 0, 1, 0, 0, 1], np.float32)
    detector = NearestNeighbors.fit(np.concatenate([dead, 0 * dead[:2]]), k=5)
    scores = detector.score(np.concatenate([NEW, 0 * NEW[:1]]))
    assert np.isfinite(scores).all()
    # every unit vector is 1 away from zeros
    assert scores[-1] == pytest.approx(-1, abs=1e-6)


def test_within_jit_and_in_float64():
    detector = NearestNeighbors.fit(X, k=4)
    inside = jax.jit(lambda detector, x: detector.score(x))(detector, NEW)
    np.testing.assert_allclose(inside, detector.score(NEW), rtol=1e-6)
    with jax.enable_x64(True):
        exact = NearestNeighbors.fit(X.astype(np.float64), k=4, normalize=False)
        np.testing.assert_allclose(
            exact.score(NEW.astype(np.float64)), expected(X, NEW, 4), rtol=1e-12
        )


@pytest.mark.parametrize("k", [0, 51])
def test_k_is_a_row(k):
    with pytest.raises(ValueError, match=rf"k must be in 1 \.\.\. 50, .* got {k}"):
        NearestNeighbors.fit(X, k=k)


def test_bad_features_are_named():
    with pytest.raises(ValueError, match="the first is row 4"):
        NearestNeighbors.fit(np.where(X[4, 0] == X, np.nan, X), k=1)
    with pytest.raises(ValueError, match="have 2 columns, those of fit had 6"):
        NearestNeighbors.fit(X, k=1).score(NEW[:, :2])
    with pytest.raises(ValueError, match=r"k must be a whole number, got 2\.0"):
        NearestNeighbors.fit(X, k=2.0)


def test_features_whose_squares_overflow_are_refused():
    x = np.float32([[1e30, 0], [0, -1e30], [1, 2]])
    with pytest.raises(ValueError, match=r"up to 1e\+30, .* of up to 3\.26e\+18"):
        NearestNeighbors.fit(x, k=1, normalize=False)
    alike = NearestNeighbors.fit(x, k=1).score(7 * x[:2])
    np.testing.assert_allclose(alike, 0, atol=1e-6)

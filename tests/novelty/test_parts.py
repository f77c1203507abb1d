"""Statistics of one projection, against NumPy in float64."""

import jax
import numpy as np
import pytest

from flowjax_ood.novelty.parts import (
    Band,
    Clusters,
    Coordinates,
    Neighbours,
    Projection,
    Residual,
    drawn,
)

RNG = np.random.default_rng(3)
# correlated, of unequal scales: [80, 7]
X = RNG.normal(size=(80, 7)) @ RNG.normal(size=(7, 7)) + RNG.normal(size=7)
NEW = RNG.normal(size=(9, 7)) * 3


def fitted(**changes) -> Projection:
    settings = {"components": 7, "near": 3, "whiten": True, "standardize": False}
    return Projection.fit(X, **(settings | {"seed": 0} | changes))


def test_all_components_are_the_squared_mahalanobis_distance():
    at = fitted()(NEW)
    away = NEW - X.mean(0)
    inverse = np.linalg.inv(np.cov(X.T, bias=True))
    expected = -np.einsum("ij,jk,ik->i", away, inverse, away)
    np.testing.assert_allclose(Band(0, 7).score(at), expected, rtol=2e-4)
    np.testing.assert_allclose(
        Band(0, 2).score(at) + Band(2, 7).score(at), expected, rtol=2e-4
    )


def test_the_residual_is_what_the_components_leave_out():
    projection = fitted(components=3)
    residual = Residual().score(projection(NEW))
    values, vectors = np.linalg.eigh(np.cov(X.T))
    outside = (NEW - X.mean(0)) @ vectors[:, np.argsort(values)[:4]]
    np.testing.assert_allclose(residual, -(outside**2).sum(1), rtol=1e-4)
    inside = X.mean(0) + NEW[:, :3] @ vectors[:, np.argsort(values)[4:]].T
    assert abs(Residual().score(projection(inside))).max() < 1e-6


@pytest.mark.thorough
@pytest.mark.parametrize("whiten", [True, False])
def test_neighbours_are_those_of_all_distances(whiten):
    projection = fitted(whiten=whiten)
    known, new = projection(X).near, projection(NEW).near
    part = Neighbours.fit(np.asarray(known), 4)
    distances = np.linalg.norm(
        np.asarray(new, np.float64)[:, None] - np.asarray(known, np.float64), axis=2
    )
    expected = np.sort(distances, 1)
    found, rows = part.nearest(new)
    np.testing.assert_allclose(found, expected[:, :4], rtol=1e-4)
    np.testing.assert_array_equal(rows, np.argsort(distances, 1)[:, :4])
    np.testing.assert_allclose(part.score(projection(NEW)), -expected[:, 3], rtol=1e-4)


def test_a_vector_that_is_known_is_at_no_distance():
    projection = fitted()
    part = Neighbours.fit(np.asarray(projection(X).near), 1)
    assert abs(part.score(projection(X))).max() < 1e-5


def test_clusters_have_one_covariance_about_their_means():
    projection = fitted(near=7)
    labels = np.arange(80) % 3
    near = np.asarray(projection(X).near, np.float64)
    near[labels == 1] += 9
    score = Clusters.fit(near, labels).score(
        Coordinates(near, near.astype(np.float32), near[:, 0])
    )
    means = np.stack([near[labels == k].mean(0) for k in range(3)])
    # within ten standard deviations of its own mean, and far from the others'
    assert (np.asarray(score) > -100).all()
    far = means.mean(0)[None].astype(np.float32)
    assert Clusters.fit(near, labels).score(Coordinates(far, far, far[:, 0]))[0] < -9


def test_standardised_distances_do_not_depend_on_units():
    units = 10.0 ** RNG.uniform(-3, 3, size=7)
    ours = fitted(standardize=True)(NEW)
    theirs = Projection.fit(
        X * units, components=7, near=3, whiten=True, standardize=True, seed=0
    )(NEW * units)
    np.testing.assert_allclose(
        Band(0, 7).score(ours), Band(0, 7).score(theirs), rtol=1e-3
    )


def test_a_feature_that_never_varied_is_seen_when_it_does():
    constant = np.concatenate([X, np.full((80, 1), 5.0)], 1)
    projection = Projection.fit(
        constant, components=7, near=3, whiten=True, standardize=True, seed=0
    )
    same = np.concatenate([NEW, np.full((9, 1), 5.0)], 1)
    other = np.concatenate([NEW, np.full((9, 1), 6.0)], 1)
    before, after = (np.asarray(projection(x).outside) for x in (same, other))
    assert (after > before + 0.01).all()


def test_rows_are_drawn_in_order_and_by_the_seed():
    rows = np.arange(100)[:, None]
    some = drawn(rows, 10, 1)
    assert len(some) == 10
    assert (np.diff(some[:, 0]) > 0).all()
    np.testing.assert_array_equal(some, drawn(rows, 10, 1))
    assert not np.array_equal(some, drawn(rows, 10, 2))
    assert drawn(rows, 100, 1) is rows


def test_vectors_that_are_all_equal_are_refused():
    with pytest.raises(ValueError, match="do not vary"):
        Projection.fit(
            np.ones((30, 4)),
            components=2,
            near=2,
            whiten=True,
            standardize=False,
            seed=0,
        )


def test_a_projection_passes_through_jit_as_a_pytree():
    projection = fitted()
    compiled = jax.jit(lambda p, x: Band(0, 3).score(p(x)))
    np.testing.assert_allclose(
        compiled(projection, NEW), Band(0, 3).score(projection(NEW)), rtol=1e-4
    )

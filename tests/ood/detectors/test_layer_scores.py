"""Steps along the gradients of layers' scores, against autodiff by hand."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from flowjax_ood.ood import FSSD, Given, Network
from flowjax_ood.ood.detectors.fssd import distance
from flowjax_ood.ood.detectors.layer_scores import FORMS, LayerScores, direction
from tests.helpers import blobs

NET, GIVEN = blobs.NETWORK, Given(id_validation=blobs.VALIDATION)
X = blobs.TEST[:8]
ALL_FORMS = pytest.mark.parametrize("form", FORMS)


@cache
def scores_of(form="sign", sign=1, together=250) -> LayerScores:
    detector = FSSD(form=form, sign=sign, batch_size=together)
    return detector.layer_scores(NET, GIVEN)


def steps_of(form, sign=1, x=X):
    """`[K, B, 4, 4, 1]`."""
    return np.moveaxis(scores_of(form, sign).steps(x), 1, 0)


@cache
def gradients():
    """Of every layer's distance, one image at a time, `[K, B, 4, 4, 1]`."""
    points = FSSD().singularity(NET, GIVEN)

    def one(layer, x):
        taps, _ = NET.apply(NET.variables, x[None])
        return distance(taps[layer], points[layer].astype(np.float32))[0]

    def of(layer):
        gradient = jax.jit(jax.grad(partial(one, layer)))
        return [gradient(x) for x in X]

    return np.asarray([of(layer) for layer in NET.layers], np.float64)


def zscore(g, **axes):
    spread = g.std(ddof=1, keepdims=True, **axes)
    return (g - g.mean(keepdims=True, **axes)) / spread


def test_directions_are_those_of_each_images_gradient():
    g = gradients()
    np.testing.assert_array_equal(steps_of("sign"), np.sign(g))
    np.testing.assert_array_equal(steps_of("sign", -1), -np.sign(g))
    per_image = zscore(g, axis=(2, 3, 4))
    np.testing.assert_allclose(steps_of("zscore_sample"), per_image, atol=2e-4)
    per_batch = zscore(g, axis=(1, 2, 3, 4))
    np.testing.assert_allclose(steps_of("zscore_batch"), per_batch, atol=2e-4)
    np.testing.assert_allclose(steps_of("zscore_batch", -1), -per_batch, atol=2e-4)


@pytest.mark.parametrize("form", FORMS[1:])
def test_zscores_are_of_gradients_by_normalised_pixels(form):
    """Colours with standard deviations of their own weigh in by them."""
    rng = np.random.RandomState(0)
    g, std = rng.randn(5, 4, 4, 3), np.array([0.1, 0.2, 0.9])
    axes = (0, 1, 2, 3) if form == "zscore_batch" else (1, 2, 3)
    with jax.enable_x64(True):
        found = direction(jnp.asarray(g), form, tuple(std))
    np.testing.assert_allclose(found, zscore(g * std, axis=axes), rtol=1e-10)


@ALL_FORMS
@pytest.mark.parametrize("magnitude", [1e-3, 1e-2])
def test_uphill_raises_the_distance_and_downhill_lowers_it(form, magnitude):
    plain, up = np.moveaxis(scores_of(form).table(X, (0.0, magnitude)), 1, 0)
    down = scores_of(form, -1).table(X, (magnitude,))[:, 0]
    if form == "sign":
        assert (up > plain).all()
        assert (down < plain).all()
    else:
        # a z-score is uphill but for the mean that is taken off: on average
        assert (up.mean(0) > plain.mean(0)).all()
        assert (down.mean(0) < plain.mean(0)).all()


@ALL_FORMS
def test_a_small_step_changes_the_distance_by_the_gradient(form):
    expected = 1e-3 * np.sum(gradients() * steps_of(form), axis=(2, 3, 4)).T
    plain, moved = np.moveaxis(scores_of(form).table(X, (0.0, 1e-3)), 1, 0)
    np.testing.assert_allclose(moved - plain, expected, rtol=0.1, atol=1e-4)


@pytest.mark.parametrize("form", ["sign", "zscore_sample"])
def test_steps_of_an_image_do_not_depend_on_its_batch(form):
    np.testing.assert_allclose(
        steps_of(form)[:, :4], steps_of(form, x=X[:4]), atol=1e-4
    )


def test_steps_by_zscore_batch_do():
    first = steps_of("zscore_batch")[:, :4]
    assert np.abs(first - steps_of("zscore_batch", x=X[:4])).max() > 1e-2


def test_zscore_batch_is_of_the_images_of_each_batch_alone():
    """Of 8 in batches of 5, the last has three, and none that fill it up."""
    scores = scores_of("zscore_batch", 1, 5)
    found = scores.table(X, (0.1,))[:, 0]
    parts = (slice(0, 5), slice(5, 8))
    steps = [zscore(gradients()[:, p], axis=(1, 2, 3, 4)) for p in parts]
    steps = np.concatenate(steps, axis=1).astype(np.float32)

    @jax.jit
    def plain(x):
        taps, _ = NET.apply(NET.variables, x)
        return [scores.score(layer, taps[layer]) for layer in NET.layers]

    expected = [plain(X + np.float32(0.1) * steps[k])[k] for k in range(3)]
    np.testing.assert_allclose(found.T, expected, rtol=1e-3)


@ALL_FORMS
def test_how_many_at_a_time_does_not_matter(form):
    scores = scores_of(form, 1, 5)
    one, other = (scores.table(X, (0.1, 0.0), size) for size in (2, 8))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def constant(layer, activations):
    return 0 * activations.sum(axis=tuple(range(1, activations.ndim)))


@ALL_FORMS
def test_zero_gradient_is_no_step(form):
    np.testing.assert_array_equal(direction(jnp.zeros((2, 4, 4, 1)), form, (0.4,)), 0)
    scores = LayerScores(NET, Partial(constant), form)
    np.testing.assert_array_equal(scores.steps(X[:4]), 0)


def from_points(points, layer, activations):
    return distance(activations, points[layer])


@ALL_FORMS
def test_at_the_singularity_itself_there_is_no_step(form):
    network = Network(lambda _, x: ({"x": x, "2x": 2 * x}, x), layers=("x", "2x"))
    point = {"x": X[0].ravel(), "2x": 2 * X[0].ravel()}
    scores = LayerScores(network, Partial(from_points, point), form)
    np.testing.assert_array_equal(scores.table(X[:1], (0.1, 0.0)), 0)


def test_table_is_of_every_magnitude():
    scores = scores_of("zscore_sample")
    magnitudes = (0.1, 0.0, 0.02)
    table = scores.table(X, magnitudes)
    assert table.shape == (8, 3, 3)
    for i, m in enumerate(magnitudes):
        expected = scores.table(X, (m,))[:, 0]
        np.testing.assert_allclose(table[:, i], expected, rtol=1e-5, atol=1e-5)
    assert len(np.unique(table.round(4), axis=1)[0]) == 3

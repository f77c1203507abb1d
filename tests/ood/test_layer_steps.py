"""Steps along the gradients of layers' scores, against autodiff by hand."""

import blobs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.ood import FSSD, Given
from flowjax_ood.ood.fssd import distance
from flowjax_ood.ood.layer_scores import FORMS, LayerScores, direction

NET, GIVEN = blobs.NETWORK, Given(id_validation=blobs.VALIDATION)
X = jnp.asarray(blobs.TEST[:8])
ALL_FORMS = pytest.mark.parametrize("form", FORMS)


def scores_of(form="sign", sign=1) -> LayerScores:
    return FSSD(form=form, sign=sign).layer_scores(NET, GIVEN)


def steps_of(form, sign=1, x=X):
    return np.asarray(scores_of(form, sign).directions(NET.variables, x))


def gradients():
    """Of every layer's distance, one image at a time, `[K, B, 4, 4, 1]`."""
    points = FSSD().singularity(NET, GIVEN)

    def one(x, layer):
        taps, _ = NET.apply(NET.variables, x[None])
        return distance(taps[layer], points[layer].astype(np.float32))[0]

    found = [[jax.grad(one)(x, layer) for x in X[:4]] for layer in NET.layers]
    return np.asarray(found, np.float64)


def zscore(g, **axes):
    spread = g.std(ddof=1, keepdims=True, **axes)
    return (g - g.mean(keepdims=True, **axes)) / spread


def test_directions_are_those_of_each_images_gradient():
    g = gradients()
    x = X[:4]
    np.testing.assert_array_equal(steps_of("sign", x=x), np.sign(g))
    np.testing.assert_array_equal(steps_of("sign", -1, x), -np.sign(g))
    per_image = zscore(g, axis=(2, 3, 4))
    np.testing.assert_allclose(steps_of("zscore_sample", x=x), per_image, atol=2e-4)
    per_batch = zscore(g, axis=(1, 2, 3, 4))
    np.testing.assert_allclose(steps_of("zscore_batch", x=x), per_batch, atol=2e-4)
    np.testing.assert_allclose(steps_of("zscore_batch", -1, x), -per_batch, atol=2e-4)


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
    steps = steps_of(form, x=X[:4])
    expected = 1e-3 * np.sum(gradients() * steps, axis=(2, 3, 4)).T
    plain, moved = np.moveaxis(scores_of(form).table(X[:4], (0.0, 1e-3)), 1, 0)
    np.testing.assert_allclose(moved - plain, expected, rtol=0.1, atol=1e-4)


@pytest.mark.parametrize("form", ["sign", "zscore_sample"])
def test_steps_of_an_image_do_not_depend_on_its_batch(form):
    np.testing.assert_allclose(
        steps_of(form)[:, :3], steps_of(form, x=X[:3]), atol=1e-4
    )


def test_steps_by_zscore_batch_do():
    first = steps_of("zscore_batch")[:, :3]
    assert np.abs(first - steps_of("zscore_batch", x=X[:3])).max() > 1e-2


@ALL_FORMS
def test_zero_gradient_is_no_step(form):
    np.testing.assert_array_equal(direction(jnp.zeros((2, 4, 4, 1)), form, (0.4,)), 0)
    constant = LayerScores(NET, NET.layers, lambda _, a: 0 * a.sum(axis=-1).ravel()[:2])
    np.testing.assert_array_equal(constant.directions(NET.variables, X[:2]), 0)


@ALL_FORMS
def test_at_the_singularity_itself_there_is_no_step(form):
    point = {k: a[0].ravel() for k, a in NET.apply(NET.variables, X[:1])[0].items()}
    scores = LayerScores(
        NET, NET.layers, lambda k, a: distance(a, point[k]), form, sign=1
    )
    found = scores.table(X[:1], (0.1, 0.0))
    np.testing.assert_array_equal(found, 0)


def test_table_is_what_is_scored_with_any_batches():
    scores, magnitudes = scores_of("zscore_sample"), (0.1, 0.0, 0.02)
    table = scores.table(X, magnitudes, 3)
    assert table.shape == (8, 3, 3)
    for i, m in enumerate(magnitudes):
        expected = scores(NET.variables, X, m, bool(m))
        np.testing.assert_allclose(table[:, i], expected, rtol=1e-4, atol=1e-4)

"""The Mahalanobis detector of several layers: scores, steps, degenerate layers."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowjax_ood.ood import MahalanobisLayers, Network
from flowjax_ood.ood.detectors.mahalanobis_layers import MAGNITUDES
from flowjax_ood.ood.network import pool
from tests.helpers import blobs

NET, GIVEN = blobs.NETWORK, blobs.given()
WITHOUT_STEP = MahalanobisLayers("uniform", (0.0,))


def pooled(x, layer):
    return np.asarray(pool(NET.apply(NET.variables, x)[0][layer]), np.float64)


def by_hand(x, layer):
    """`max_c -1/2 (f - mu_c)' S^-1 (f - mu_c)`, f the mean over positions."""
    train, new = pooled(blobs.TRAIN, layer), pooled(x, layer)
    means = np.stack([train[c == blobs.LABELS].mean(0) for c in range(3)])
    residuals = train - means[blobs.LABELS]
    precision = np.linalg.pinv(
        residuals.T @ residuals / len(train), 1e-10, hermitian=True
    )
    away = new[:, None] - means
    return np.max(-0.5 * np.einsum("nci,ij,ncj->nc", away, precision, away), axis=1)


@pytest.mark.parametrize("layer", NET.layers)
def test_half_the_squared_distance_of_one_layer(layer):
    fitted = MahalanobisLayers(layer, (0.0,)).fit(NET, GIVEN)
    x = blobs.between()
    np.testing.assert_allclose(fitted.score(x), by_hand(x, layer), rtol=5e-3, atol=0.01)


def test_uniform_weights_average_standardised_layers():
    def table(x):
        return np.stack([by_hand(x, layer) for layer in NET.layers], axis=1)

    of_id, x = table(blobs.VALIDATION), blobs.TEST
    expected = np.mean((table(x) - of_id.mean(0)) / of_id.std(0), axis=1)
    found = WITHOUT_STEP.fit(NET, GIVEN).score(x)
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=0.01)


@pytest.mark.parametrize("layer", NET.layers)
def test_the_step_raises_the_score(layer):
    x = blobs.between(30)
    plain, moved = (
        MahalanobisLayers(layer, (m,)).fit(NET, GIVEN).score(x) for m in (0.0, 5e-4)
    )
    assert (moved > plain).all()


def test_published_grid():
    detector = MahalanobisLayers()
    assert detector.weights == "logistic"
    assert detector.magnitudes == MAGNITUDES
    assert (len(MAGNITUDES), max(MAGNITUDES), min(MAGNITUDES)) == (14, 0.02, 0.0005)
    assert detector.requires.ood_validation
    assert detector.requires.gradients
    assert not WITHOUT_STEP.requires.ood_validation


@pytest.mark.parametrize(
    "detector",
    [
        WITHOUT_STEP,
        MahalanobisLayers("uniform", (0.01,)),
        MahalanobisLayers("logistic", (0.01,)),
    ],
    ids=lambda d: f"{d.weights} {d.magnitudes[0]}",
)
def test_far_and_grey_images_are_outliers(detector):
    fitted = detector.fit(NET, GIVEN)
    for outliers in (blobs.far, blobs.grey, blobs.between):
        assert blobs.area(fitted, outliers()) > 0.95


def with_dead_channels(variables, x):
    taps, logits = NET.apply(variables, x)
    dead = jnp.zeros_like(taps["conv"])
    # dead channels, one twice, and a layer that is constant but for one direction
    taps["conv"] = jnp.concatenate([taps["conv"], dead, taps["conv"][..., :1]], axis=-1)
    return taps, logits


def test_dead_features_and_singular_covariances():
    network = Network(with_dead_channels, NET.variables, layers=("conv", "dense"))
    given = blobs.given(train=network.collect(blobs.TRAIN))
    fitted = MahalanobisLayers("uniform", (0.01,)).fit(network, given)
    for x in (blobs.TEST, blobs.far(), blobs.grey()):
        assert np.isfinite(fitted.score(x)).all()
    assert blobs.area(fitted, blobs.far()) > 0.95


def test_fewer_training_images_than_features():
    given = blobs.given(train=NET.collect(blobs.TRAIN[:9]), labels=blobs.LABELS[:9])
    fitted = MahalanobisLayers("uniform", (0.01,)).fit(NET, given)
    assert np.isfinite(fitted.score(blobs.far())).all()


def test_one_class():
    given = blobs.given(labels=np.zeros(len(blobs.TRAIN), int))
    fitted = MahalanobisLayers("uniform", (0.01,)).fit(NET, given)
    assert blobs.area(fitted, blobs.far()) > 0.95


def test_errors():
    for changes, missing in [
        ({"train": None}, "train"),
        ({"labels": None}, "labels"),
        ({"id_validation": None}, "id_validation"),
        ({"ood_validation": None}, "ood_validation"),
    ]:
        with pytest.raises(ValueError, match=f"Mahalanobis needs .*{missing}"):
            MahalanobisLayers().fit(NET, blobs.given(**changes))
    bad = blobs.TEST.copy()
    bad[2] = np.nan
    with pytest.raises(ValueError, match=r"Mahalanobis has no score.*is number 2"):
        MahalanobisLayers("uniform", (0.01,)).fit(NET, GIVEN).score(bad)
    with pytest.raises(ValueError, match="Mahalanobis cannot be fitted"):
        MahalanobisLayers().fit(NET, blobs.given(train=NET.collect(bad)))

"""RankFeat by singular value decompositions in float64 NumPy."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from flowjax_ood.models import LeNet
from flowjax_ood.models.cifar_resnet import ResNet34
from flowjax_ood.ood import Network, RankFeat
from flowjax_ood.ood.detectors.rankfeat import without_largest
from tests.helpers import blobs, numpy_blobs

NET = blobs.NETWORK


def reduced(maps):
    """Feature maps `[B, positions, C]` without their largest singular value."""
    u, s, v = np.linalg.svd(maps, full_matrices=False)
    s[:, 0] = 0
    return (u * s[:, None]) @ v


def test_score_and_orientation():
    fitted = RankFeat().fit(NET)
    x = np.concatenate([blobs.TEST[:20], blobs.grey(20)])
    conv = numpy_blobs.forward(x)[0]
    expected = numpy_blobs.energy(numpy_blobs.forward(x, reduced(conv))[2])
    np.testing.assert_allclose(fitted.score(x), expected, rtol=1e-3, atol=1e-3)
    assert blobs.area(fitted, blobs.grey()) > 0.6
    bad = blobs.TEST.copy()
    bad[4] = np.nan
    with pytest.raises(ValueError, match=r"RankFeat has no score for 1 .* number 4"):
        fitted.score(bad)


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 2, 7), (9, 2)])
def test_largest_singular_value_is_taken_off(shape):
    """Of more positions than channels, of fewer, and of sequences."""
    maps = np.random.RandomState(0).randn(4, *shape)
    expected = reduced(maps.reshape(4, -1, shape[-1])).reshape(maps.shape)
    np.testing.assert_allclose(without_largest(maps), expected, atol=2e-5)
    assert not np.any(without_largest(np.zeros((2, *shape))))


@pytest.mark.parametrize(
    "module",
    [LeNet(), ResNet34(blocks=(1, 1), widths=(4, 8), mean=(0.5,), std=(0.5,))],
    ids=lambda m: type(m).__name__,
)
def test_own_models_compute_the_rest_from_a_layer(module):
    """Own activations change nothing; others change the logits as those of x would."""
    x, other = np.random.RandomState(0).rand(2, 2, 12, 12, 1).astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    network = Network.of(module, variables)

    @jax.jit
    def every(x, other):
        (taps, z), (theirs, expected) = network.taps(x), network.taps(other)
        layers = (*network.layers, network.penultimate)
        same = [network.with_taps(x, {k: taps[k]}) for k in layers]
        swapped = [network.with_taps(x, {k: theirs[k]}) for k in layers]
        return z, same, expected, swapped

    z, same, expected, swapped = every(x, other)
    assert not np.allclose(z, expected)
    for mine, their in zip(same, swapped, strict=True):
        np.testing.assert_allclose(mine, z, atol=1e-5)
        np.testing.assert_allclose(their, expected, atol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"RankFeat needs network\.replaced, a funct"):
        RankFeat().fit(replace(NET, replaced=None))
    with pytest.raises(
        ValueError, match=r"feature maps .* got dense; network.layers has"
    ):
        RankFeat(("dense",)).fit(NET).score(blobs.TEST)
    with pytest.raises(ValueError, match=r"feature maps .* got none"):
        RankFeat().fit(replace(NET, layers=("dense",))).score(blobs.TEST)
    with pytest.raises(ValueError, match=r"temperature must be .*got 0"):
        RankFeat(temperature=0)

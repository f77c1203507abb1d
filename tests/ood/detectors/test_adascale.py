"""AdaSCALE by the published formulas, in float64 NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood.ood import SCALE, AdaSCALE, Given
from flowjax_ood.ood.detectors.adascale import ratio, unsteadiness
from tests.helpers import blobs, numpy_blobs

NET, GIVEN = blobs.NETWORK, blobs.given(train=None, labels=None)
# of 16 pixels and 24 features: 4 pixels move, 2 and 6 features are compared
SETTINGS = {"moved": 0.25, "shifted": 0.1, "corrected": 0.25, "step": 0.3}


def measured(x):
    """`(features, logits, Q')`, an input at a time."""
    _, f, z = numpy_blobs.forward(x)
    dz = np.eye(3)[z.argmax(1)]
    g = numpy_blobs.backward(x, dz)[2].reshape(len(x), -1) * 0.4
    moved = np.float64(x).reshape(len(x), -1)
    for row, gradient in zip(moved, g):
        least = np.argsort(np.abs(gradient))[:4]
        row[least] += 0.3 * 0.4 * np.sign(gradient[least])
    after = numpy_blobs.forward(moved.reshape(x.shape))[1]
    order = np.argsort(-f, axis=1)
    values = []
    for before, then, largest in zip(f, after, order):
        shift = np.abs(before - then)[largest[:2]].sum()
        values.append(10 * shift + np.maximum(then, 0)[largest[:6]].sum())
    return f, z, np.array(values)


def by_hand(x, variant, low=60, high=85):
    known = measured(GIVEN.id_validation)[2]
    f, z, q = measured(x)
    scores = []
    for features, logits, value in zip(f, z, q):
        p = low + (1 - np.mean(known <= value)) * (high - low)
        count = 24 - int(np.round(24 * p / 100))
        r = features.sum() / np.sort(features)[-count:].sum()
        shaped = features * np.exp(r)
        new = shaped @ numpy_blobs.W + numpy_blobs.B
        scores.append(new if variant == "a" else logits * r**2)
    return numpy_blobs.energy(np.array(scores))


@pytest.fixture(scope="module", params=["a", "l"])
def fitted(request):
    return AdaSCALE(request.param, **SETTINGS).fit(NET, GIVEN)


def test_score_and_orientation(fitted):
    variant = fitted.name[-1].lower()
    x = np.concatenate([blobs.TEST[:30], blobs.grey(30), blobs.between(30)])
    np.testing.assert_allclose(fitted.score(x), by_hand(x, variant), rtol=2e-4)
    # an energy: images far out have more of it, grey ones less
    assert blobs.area(fitted, blobs.grey()) > {"a": 0.95, "l": 0.6}[variant]
    bad = blobs.TEST.copy()
    bad[4] = np.nan
    with pytest.raises(ValueError, match=r"AdaSCALE-.*no score for 1 .* number 4"):
        fitted.score(bad)


def test_with_percentiles_alike_it_is_scale():
    """Whatever Q' is, a fixed share is pruned."""
    fixed = AdaSCALE(percentiles=(65.0, 65.0), **SETTINGS).fit(NET, GIVEN)
    expected = SCALE(0.65).fit(NET).score(blobs.TEST)
    np.testing.assert_allclose(fixed.score(blobs.TEST), expected, rtol=1e-5)


def test_pieces():
    f = np.array([[4.0, 1, 3, 2, -1], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(ratio(f, np.array([60.0, 60])), [[10 / 7], [0]], 1e-6)
    np.testing.assert_allclose(ratio(f, np.array([99.0, 0])), [[10 / 4], [0]], 1e-6)
    moved = np.array([[3.0, 1, -1, 9, 9], [0, 0, 0, 0, 1]])
    # of the first row, 4 and 3 are compared: |1| + |4|, and 3 + 0
    np.testing.assert_allclose(unsteadiness(f, moved, 0.4, 0.4, 10.0)[0], 53)
    # at least the largest of a row
    np.testing.assert_allclose(unsteadiness(f, moved, 0.01, 0.01, 10.0)[0], 13)


def test_few_of_the_validation_inputs_are_enough():
    few = AdaSCALE(images=20, **SETTINGS).fit(NET, GIVEN)
    assert np.isfinite(few.score(blobs.TEST)).all()


def test_errors():
    for percentiles in ((85.0, 60.0), (60.0,), (0.6, 100.0)):
        with pytest.raises(ValueError, match=r"percentiles must be .*got \("):
            AdaSCALE(percentiles=percentiles)
    with pytest.raises(
        ValueError, match=r"moved must be .*a share, not per cent; got 5"
    ):
        AdaSCALE(moved=5)
    with pytest.raises(ValueError, match=r"variant must be one of a, l; got 'b'"):
        AdaSCALE("b")
    with pytest.raises(ValueError, match=r"AdaSCALE-A needs id_validation"):
        AdaSCALE().fit(NET)
    with pytest.raises(TypeError, match=r"AdaSCALE-L changes its input"):
        AdaSCALE("l").fit(
            replace(NET, mean=None), Given(id_validation=np.zeros((3, 4), int))
        )
    bad = np.full((5, *blobs.SHAPE), np.nan, np.float32)
    with pytest.raises(ValueError, match=r"cannot be fitted: .* for 5 of 5 validation"):
        AdaSCALE(**SETTINGS).fit(NET, Given(id_validation=bad))

"""Gram by whole Gram matrices in float64 NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import Gram
from flowjax_ood.ood.detectors.gram import outside, row_sums
from tests.helpers import blobs, numpy_blobs

NET, POWERS = blobs.NETWORK, (1, 2, 5)
GIVEN = blobs.given(train=None, labels=None)


def values_of(x):
    """`({layer: [B, P, C]}, logits)`."""
    conv, dense, z = numpy_blobs.forward(x)
    layers = {"conv": conv, "dense": dense[:, None], "logits": z[:, None]}
    of = {}
    for name, maps in layers.items():
        rows = []
        for p in POWERS:
            f = np.swapaxes(maps, 1, 2) ** p
            sums = np.sum(f @ np.swapaxes(f, 1, 2), axis=2)
            rows.append(np.sign(sums) * np.abs(sums) ** (1 / p))
        of[name] = np.stack(rows, axis=1)
    return of, z


def deviations(x):
    """`[B, 3]`, of the layers."""
    known, of_train = values_of(blobs.TRAIN)
    values, z = values_of(x)
    scores = np.zeros((len(x), 3))
    for i, (row, confidence) in enumerate(zip(z, special.softmax(z, axis=1).max(1))):
        same = of_train.argmax(1) == row.argmax()
        for k, layer in enumerate(("conv", "dense", "logits")):
            low, high = known[layer][same].min(0), known[layer][same].max(0)
            v = values[layer][i]
            far = np.maximum(low - v, 0) / np.abs(low + 1e-6)
            far += np.maximum(v - high, 0) / np.abs(high + 1e-6)
            scores[i, k] = far.sum() / confidence
    return scores


@pytest.fixture(scope="module")
def fitted():
    return Gram(POWERS, batch_size=40).fit(NET, GIVEN)


def test_score(fitted):
    x = np.concatenate([blobs.TEST[:20], blobs.between(20), blobs.far(20)])
    expected = deviations(GIVEN.id_validation).mean(0)
    expected = -np.sum(deviations(x) / expected, axis=1)
    # a unit that is dead in training is divided by 1e-6: no scale to be wrong by
    np.testing.assert_allclose(fitted.score(x), expected, rtol=5e-3, atol=1e-2)


def test_outliers_of_all_kinds_score_lower(fitted):
    for outliers in (blobs.between(), blobs.far()):
        assert blobs.area(fitted, outliers) > 0.95
    bad = blobs.TEST.copy()
    bad[4] = np.nan
    with pytest.raises(ValueError, match=r"Gram has no score for 1 .* number 4"):
        fitted.score(bad)


@pytest.mark.thorough
def test_row_sums_keep_signs_and_do_not_overflow():
    f = np.float32([[[2, -3], [1, 1]]])
    # positions are rows: of channel 0 at power 1, 2 (2 - 3) + 1 (1 + 1)
    expected = [
        [[0, -3 * -1 + 2], [20**0.5 * 0 + (4 * 13 + 2) ** 0.5, (9 * 13 + 2) ** 0.5]]
    ]
    np.testing.assert_allclose(row_sums(f, (1, 2)), expected, rtol=1e-5, atol=1e-6)
    large = row_sums(np.full((1, 3, 2), 1e4, np.float32), (10,))
    np.testing.assert_allclose(large, 1e8 * 6**0.1, rtol=1e-5)
    assert not np.any(row_sums(np.zeros((1, 3, 2), np.float32), (1, 10)))


def test_outside():
    v, low, high = np.array([[1.0], [3.0], [9.0], [-5.0]]), 2.0, 6.0
    np.testing.assert_allclose(outside(v, low, high), [0.5, 0, 0.5, 3.5])


def test_a_class_that_is_never_predicted_has_the_range_of_all():
    """Of training inputs of two classes, others are still scored."""
    two = blobs.TRAIN[blobs.LABELS < 2]
    fitted = Gram(POWERS).fit(NET, replace(GIVEN, train_inputs=two))
    assert np.isfinite(fitted.score(blobs.TEST)).all()


def test_errors():
    for name in ("train_inputs", "id_validation"):
        with pytest.raises(ValueError, match=rf"Gram needs {name}"):
            Gram().fit(NET, replace(GIVEN, **{name: None}))
    with pytest.raises(ValueError, match=r"Gram needs network\.layers"):
        Gram().fit(replace(NET, layers=()), GIVEN)
    for powers in ((), (0,), (1.5,)):
        with pytest.raises(ValueError, match=r"Gram: powers must be"):
            Gram(powers)
    bad = np.full((5, *blobs.SHAPE), np.nan, np.float32)
    for name in ("train_inputs", "id_validation"):
        with pytest.raises(ValueError, match=r"Gram cannot be fitted"):
            Gram(POWERS).fit(NET, replace(GIVEN, **{name: bad}))

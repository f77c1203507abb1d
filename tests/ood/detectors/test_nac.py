"""NAC-UE by counting in float64 NumPy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from flowjax_ood.ood import NACUE
from flowjax_ood.ood.detectors.nac import balanced_rows
from tests.helpers import blobs, numpy_blobs

NET, GIVEN = blobs.NETWORK, blobs.given(train=None)


def states(x, layer, steepness):
    conv, dense, z = numpy_blobs.forward(x)
    dz = special.softmax(z, axis=1) - 1 / 3
    by_conv, by_dense, _ = numpy_blobs.backward(x, dz)
    if layer == "dense":
        return special.expit(steepness * dense * by_dense)
    return special.expit(steepness * conv.mean(1) * by_conv.mean(1))


def coverage(x, layer, steepness, bins, enough):
    rows = balanced_rows(blobs.LABELS, 60, 0)
    known, new = (
        states(blobs.TRAIN[rows], layer, steepness),
        states(x, layer, steepness),
    )
    values = np.zeros(new.shape)
    edges = np.linspace(0, 1, bins + 1)
    edges[-1] = 2
    for n in range(new.shape[1]):
        counts = np.histogram(known[:, n], edges)[0]
        values[:, n] = np.minimum(counts / enough, 1)[np.digitize(new[:, n], edges) - 1]
    return values.mean(1)


def test_of_the_penultimate_and_of_two_layers():
    x = np.concatenate([blobs.TEST[:30], blobs.grey(30), blobs.between(30)])
    alone = NACUE(steepness=(2.0,), bins=(20,), enough=(9,), images=60)
    expected = coverage(x, "dense", 2.0, 20, 9)
    close = {"atol": 0.01}  # an interval more or less, of a state at its edge
    np.testing.assert_allclose(alone.fit(NET, GIVEN).score(x), expected, **close)
    assert np.ptp(expected) > 0.2
    # by the gradient through the rest, not by the head
    same = alone.fit(replace(NET, head=None), GIVEN).score(x)
    np.testing.assert_allclose(same, expected, **close)
    both = replace(
        alone, layers=("conv", "dense"), steepness=(50.0, 2.0), bins=(10, 20)
    )
    expected = (coverage(x, "conv", 50.0, 10, 9) + expected) / 2
    fitted = both.fit(NET, GIVEN)
    np.testing.assert_allclose(fitted.score(x), expected, **close)
    assert blobs.area(fitted, blobs.between()) > 0.8
    bad = blobs.TEST.copy()
    bad[4] = np.nan
    with pytest.raises(ValueError, match=r"NAC-UE has no score for 1 .* number 4"):
        fitted.score(bad)


def test_rows_are_as_many_of_each_class():
    labels = np.repeat([7, 3, 5], [50, 20, 2])
    rows = balanced_rows(labels, 30, 0)
    assert np.unique(labels[rows], return_counts=True)[1].tolist() == [10, 2, 10]
    assert (np.diff(rows) > 0).all()
    assert (rows != balanced_rows(labels, 30, 1)).any()


def test_what_it_needs():
    assert not NACUE().requires.gradients
    assert NACUE(layers=("conv",)).requires.gradients
    for name in ("train_inputs", "labels"):
        with pytest.raises(ValueError, match=rf"NAC-UE needs {name}"):
            NACUE().fit(NET, replace(GIVEN, **{name: None}))
    with pytest.raises(ValueError, match=r"NAC-UE needs network\.replaced"):
        NACUE(layers=("conv",)).fit(replace(NET, replaced=None), GIVEN)
    with pytest.raises(ValueError, match=r"needs layers, or network\.penultimate"):
        NACUE().fit(replace(NET, penultimate=None), GIVEN)
    with pytest.raises(ValueError, match=r"gives no tap \['deep'\], only"):
        NACUE(layers=("deep",)).fit(NET, GIVEN)
    with pytest.raises(ValueError, match=r"one for each of 1 layers; got \(1, 2\)"):
        NACUE(bins=(1, 2)).fit(NET, GIVEN)
    with pytest.raises(ValueError, match=r"labels of shape"):
        NACUE().fit(NET, replace(GIVEN, labels=blobs.LABELS[:5]))
    with pytest.raises(ValueError, match=r"steepness must be"):
        NACUE(steepness=(0.0,))
    bad = np.full(blobs.TRAIN.shape, np.nan, np.float32)
    with pytest.raises(ValueError, match=r"NAC-UE cannot be fitted"):
        NACUE().fit(NET, replace(GIVEN, train_inputs=bad))

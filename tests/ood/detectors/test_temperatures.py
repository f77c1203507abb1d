"""Temperatures of logits: the likeliest of all, and LTS's of an input."""

import numpy as np
import pytest
from scipy.special import log_softmax, logit, logsumexp, softmax

from flowjax_ood.ood import LTS, TempScale
from flowjax_ood.ood.detectors import temperatures as module
from tests.helpers import blob_outputs as blobs
from tests.helpers.blobs import VALIDATION

RNG = np.random.RandomState(0)
Z = 3 * RNG.randn(200, 5)
LABELS = np.where(RNG.rand(200) < 0.6, Z.argmax(1), RNG.randint(0, 5, 200))


def likelihood(temperature):
    log_p = log_softmax(Z / temperature, axis=1)
    return np.mean(log_p[np.arange(200), LABELS])


def test_the_likeliest_temperature():
    found = module.likeliest_temperature(Z, LABELS)
    around = found * np.array([0.5, 0.99, 1, 1.01, 2])
    assert np.argmax([likelihood(t) for t in around]) == 2
    # of numbers twice as large, twice as high
    twice = module.likeliest_temperature(2 * Z, LABELS)
    assert twice == pytest.approx(2 * found, rel=1e-6)


@pytest.mark.parametrize(
    ("labels", "expected"), [(Z.argmax(1), 0.01), (Z.argmin(1), 100.0)]
)
def test_temperatures_end_where_likelihood_does_not(labels, expected):
    assert module.likeliest_temperature(Z, labels) == expected


# right for most of the blobs, so that a temperature is the likeliest
ID_LABELS = np.where(np.arange(60) % 5 == 0, 0, np.arange(60) % 3)


def test_temp_scale():
    z = blobs.wide(blobs.NETWORK.collect(VALIDATION))[0]
    temperature = module.likeliest_temperature(z, ID_LABELS)
    assert 0.01 < temperature < 100
    given = {"id_labels": ID_LABELS}
    found = blobs.fitted(TempScale(), **given)
    assert found.chosen == {"temperature": pytest.approx(temperature, rel=1e-4)}
    scale = found.chosen["temperature"]

    def law(z, f):
        return logit(softmax(z / scale).max())

    blobs.check_law(TempScale(), law, **given)
    # fitted to the same numbers as if they were of training
    train, images = blobs.NETWORK.collect(VALIDATION), {"train": None, "labels": None}
    same = blobs.fitted(TempScale("train"), train, ID_LABELS)
    assert same.chosen == pytest.approx(found.chosen)
    assert blobs.fitted(TempScale(), **images, **given).chosen == found.chosen


def test_temp_scale_names_what_is_missing():
    with pytest.raises(ValueError, match=r"TempScale needs .*id_labels"):
        blobs.fitted(TempScale())
    with pytest.raises(ValueError, match=r"60 rows"):
        blobs.fitted(TempScale(), id_labels=ID_LABELS[:5])
    with pytest.raises(ValueError, match="fitted_on must be one of"):
        TempScale("test")


def test_lts():
    def law(z, f):
        largest = np.sort(f)[::-1][:5]  # a fifth of 24
        return logsumexp(z * (f.sum() / largest.sum()) ** 2)

    blobs.check_law(LTS(0.2), law)


@pytest.mark.parametrize("detector", [TempScale(), LTS(0.2)], ids=lambda d: d.name)
def test_order_and_degenerate(detector):
    given = {"id_labels": ID_LABELS}
    blobs.check_order(detector, **given)
    blobs.check_degenerate(detector, **given)


@pytest.mark.parametrize("kept", [0, -0.1, 5])
def test_lts_needs_a_share(kept):
    with pytest.raises(ValueError, match=f"kept .*got {kept}"):
        LTS(kept)

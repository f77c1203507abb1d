"""NCI, CARef and CADRef against their papers' formulas, row by row."""

import numpy as np
import pytest
from scipy.special import logsumexp

from flowjax_ood.ood import NCI, CADRef, CARef
from tests.helpers import blob_outputs as blobs

ALL = [NCI(), CARef(), CADRef()]
EACH = pytest.mark.parametrize("detector", ALL, ids=lambda d: d.name)
Z, F = blobs.wide(blobs.TRAIN)


def mean_of(c):
    return np.mean([f for z, f in zip(Z, F) if z.argmax() == c], axis=0)


def test_nci():
    mean = F.mean(0)

    def law(z, f):
        w = blobs.W[:, z.argmax()]
        return w @ (f - mean) / np.sqrt(np.sum((f - mean) ** 2)) + 0.01 * f.sum()

    blobs.check_law(NCI(0.01), law)


def test_caref():
    def law(z, f):
        return -np.sum(np.abs(f - mean_of(z.argmax()))) / np.sum(np.abs(f))

    blobs.check_law(CARef(), law)


def test_cadref():
    average = np.mean([logsumexp(z) for z in Z])

    def law(z, f):
        gap, w = f - mean_of(z.argmax()), blobs.W[:, z.argmax()]
        up = sum(abs(g) for g, a in zip(gap, w) if g * a > 0) / np.sum(np.abs(f))
        down = sum(abs(g) for g, a in zip(gap, w) if g * a < 0) / np.sum(np.abs(f))
        return -(up / logsumexp(z) + down / average)

    blobs.check_law(CADRef(), law)


def test_cadref_needs_a_positive_energy():
    train = blobs.TRAIN._replace(logits=blobs.TRAIN.logits - 50)
    network = blobs.shifted(-50)
    with pytest.raises(ValueError, match="mean energy of training inputs"):
        blobs.fitted(CADRef(), train, network=network)


@EACH
def test_grey_images_are_outliers(detector):
    blobs.check_order(detector)


@EACH
def test_degenerate(detector):
    blobs.check_degenerate(detector)


def test_nci_needs_a_weight():
    with pytest.raises(ValueError, match=r"alpha .* got -1"):
        NCI(-1)

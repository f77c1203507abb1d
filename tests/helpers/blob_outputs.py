"""Outputs of the blobs' network, and what any detector of outputs does with them.

All are of 300 training rows or of 90: a detector's score is compiled once.
"""

from dataclasses import replace

import numpy as np
import pytest

from flowjax_ood.ood import Given, auroc
from flowjax_ood.ood.network import Outputs
from tests.helpers import blobs

NETWORK, W, B = blobs.NETWORK, blobs.W.astype(np.float64), blobs.B.astype(np.float64)
TRAIN, LABELS = NETWORK.collect(blobs.TRAIN), blobs.LABELS
INSIDE, FAR, GREY = map(NETWORK.collect, (blobs.TEST, blobs.far(), blobs.grey()))


def wide(outputs):
    """Logits and features in float64."""
    return np.float64(outputs.logits), np.float64(outputs.features)


def outputs_of(f) -> Outputs:
    """Of features, by the blobs' last layer."""
    f = np.asarray(f, np.float32)
    return Outputs((f @ W + B).astype(np.float32), f, {})


def fitted(detector, train=TRAIN, labels=LABELS, network=NETWORK, **given):
    given = {
        "id_validation": blobs.VALIDATION,
        "ood_validation": blobs.grey(60),
    } | given
    return detector.fit(network, Given(train=train, labels=labels, **given))


def check_law(detector, law, queries=(INSIDE, FAR, GREY), rtol=2e-4, **given):
    """`law(logits, features)` of one row, float64, is its score."""
    of = fitted(detector, **given)
    for query in queries:
        expected = np.array([law(z, f) for z, f in zip(*wide(query))])
        size = np.abs(expected).max()
        found = of.score_outputs(query)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * size)
        assert np.ptp(expected) > 10 * rtol * size


def check_order(detector, outliers=GREY, area=0.95, **given):
    """Blobs score higher than outliers."""
    of = fitted(detector, **given)
    scores = (of.score_outputs(o) for o in (INSIDE, outliers))
    assert auroc(*scores).value > area


def check_degenerate(detector, **given):
    """Finite for dead features, rows of zeros, logits alike, tiny classes; not NaN."""
    alive = np.arange(blobs.UNITS) % 2 == 0
    rows = np.array(GREY.features)
    rows[:3] = 0
    rows[3:6] = TRAIN.features.mean(0)
    # dead in training, and not in what is scored
    dead = outputs_of(TRAIN.features * alive)
    # one input of a class, and a class that none is of
    few = np.where(np.arange(len(LABELS)) == 0, 2, LABELS % 2)
    for train, labels in ((dead, LABELS), (dead, few), (TRAIN, few)):
        of = fitted(detector, train, labels, **given)
        assert np.isfinite(of.score_outputs(outputs_of(rows))).all()
    bad = np.where(np.arange(90)[:, None] == 3, np.nan, rows)
    with pytest.raises(ValueError, match=r"no score for 1 of 90 .* number 3"):
        of.score_outputs(outputs_of(bad))
    alike = Outputs(np.full_like(GREY.logits, 2), GREY.features, {})
    assert np.isfinite(fitted(detector, **given).score_outputs(alike)).all()


def shifted(by: float):
    """The network with `by` added to every logit."""
    w, b = NETWORK.head
    return replace(NETWORK, head=(w, b + by))

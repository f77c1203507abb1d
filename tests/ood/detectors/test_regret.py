"""The regret of pNML against its formula, and for inputs unlike all of training."""

import numpy as np
from scipy.special import softmax

from flowjax_ood.ood import PNML
from tests.helpers import blob_outputs as blobs

F = blobs.wide(blobs.TRAIN)[1]


def unit(f):
    return f / np.linalg.norm(f)


def regret(f, k):
    p = softmax(unit(f) @ blobs.W + blobs.B)
    return np.log(sum(c / (c + (1 - c) * c**k) for c in p)) / np.log(3)


def test_pnml():
    gram = sum(np.outer(unit(f), unit(f)) for f in F)
    # dead units count as 1e-10 of the largest
    dead = np.diag(gram) == 0
    assert 0 < dead.sum() < 24
    gram[dead, dead] = 1e-10 * np.linalg.norm(gram, 2)
    inverse = np.linalg.inv(gram)

    def law(z, f):
        q = unit(f) @ inverse @ unit(f)
        return -regret(f, q / (1 + q))

    blobs.check_law(PNML(), law)


def test_an_input_of_features_that_training_has_not():
    """Anything could be learned of it: all classes are likely, `k = 1`."""
    alive = np.arange(24) % 2 == 0
    of = blobs.fitted(PNML(), blobs.outputs_of(F * alive))
    odd = np.where(alive, 0, blobs.wide(blobs.INSIDE)[1])
    expected = [-regret(f, 1) for f in odd]
    found = of.score_outputs(blobs.outputs_of(odd))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.max(found) < np.min(of.score_outputs(blobs.outputs_of(F[:90] * alive)))


def test_order_and_degenerate():
    blobs.check_order(PNML(), area=0.9)
    blobs.check_degenerate(PNML())

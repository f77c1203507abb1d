"""OpenMax against its formula with SciPy's Weibull distribution."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import weibull_min

from flowjax_ood.ood import OpenMax
from flowjax_ood.ood.detectors import openmax as module
from tests.helpers import blob_outputs as blobs

Z = blobs.wide(blobs.TRAIN)[0]
SHIFT = 10_000


def weibull(tail):
    """Start, and SciPy's parameters of what `weibull_tail` fits."""
    start, shape, offset = module.weibull_tail(tail)
    return start, shape, SHIFT * np.exp(offset / shape)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_the_likeliest_weibull(scale):
    tail = scale * (5 + np.random.RandomState(0).gumbel(size=20))
    start, shape, size = weibull(tail)
    assert start == tail.min()
    shifted = tail - start + SHIFT

    def surprise(c, s):
        return weibull_min.nnlf((c, 0, s), shifted)

    least = surprise(shape, size)
    for c in (0.99, 1.01):
        assert least < surprise(shape * c, size)
    for s in (-1e-2, 1e-2):
        assert least < surprise(shape, size + s * scale)


@pytest.mark.parametrize("tail", [[3.0], [2.0, 2.0, 2.0]])
def test_tails_that_do_not_spread_are_steps(tail):
    start, shape, size = weibull(tail)
    inside, outside = (
        weibull_min.cdf(d - start + SHIFT, shape, scale=size)
        for d in (tail[0] - 1e-4, tail[0] + 1e-4)
    )
    assert (inside, outside) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize("alpha", [2, 3])
def test_openmax(alpha):
    tails, means = {}, {}
    for c in range(3):
        rows = [z for z, y in zip(Z, blobs.LABELS) if z.argmax() == y == c]
        means[c] = np.mean(rows, axis=0)
        tails[c] = weibull(sorted(np.linalg.norm(z - means[c]) for z in rows)[-8:])

    def law(z, f):
        revised, unknown = z.copy(), 0.0
        for i, c in enumerate(np.argsort(-z)[:alpha]):
            start, shape, size = tails[c]
            d = np.linalg.norm(z - means[c]) - start + SHIFT
            taken = weibull_min.cdf(d, shape, scale=size) * (alpha - i) / alpha * z[c]
            revised[c] -= taken
            unknown += taken
        p = softmax([*revised, unknown])[-1]
        return np.log1p(-p) - np.log(p)

    blobs.check_law(OpenMax(8, alpha), law, (blobs.INSIDE, blobs.GREY), rtol=2e-3)


def test_order_and_degenerate():
    blobs.check_order(OpenMax(), blobs.FAR)
    blobs.check_degenerate(OpenMax())


def test_a_class_without_training_inputs_is_unknown():
    labels = np.where(blobs.LABELS == 2, 0, blobs.LABELS)
    of = blobs.fitted(OpenMax(alpha=1), labels=labels)
    z = blobs.wide(blobs.INSIDE)[0]
    absent = z.argmax(1) == 2
    # all of its logit is the unknown class's
    expected = np.logaddexp.reduce(np.where(z == z.max(1)[:, None], 0, z), axis=1)
    found = of.score_outputs(blobs.INSIDE)
    np.testing.assert_allclose(found[absent], (expected - z.max(1))[absent], rtol=1e-4)
    assert np.median(found[~absent]) > 0 > np.median(found[absent])


def test_distances_of_zero():
    """Training inputs all alike: any other is far."""
    start, shape, offset = module.weibull_tail([0.0, 0.0])
    assert (start, offset) == (0, 0)
    assert shape * np.log1p(1e-6 / SHIFT) > 80


def test_labels_and_settings_out_of_range():
    with pytest.raises(ValueError, match=r"1 \.\.\. 3"):
        blobs.fitted(OpenMax(), labels=blobs.LABELS + 1)
    with pytest.raises(ValueError, match=r"tail .*got 0"):
        OpenMax(tail=0)

"""VRA against its piecewise formula."""

import numpy as np
import pytest
from scipy.special import logsumexp

from flowjax_ood.ood import VRA
from tests.helpers import blob_outputs as blobs

F = blobs.wide(blobs.TRAIN)[1]


def test_vra():
    bounds = [np.quantile(column, [0.3, 0.8]) for column in F.T]

    def law(z, f):
        kept = [
            0 if a < low else high if a > high else a
            for a, (low, high) in zip(f, bounds)
        ]
        return logsumexp(np.array(kept) @ blobs.W + blobs.B)

    blobs.check_law(VRA(30, 80), law)


def test_order_and_degenerate():
    blobs.check_order(VRA())
    blobs.check_degenerate(VRA())


@pytest.mark.parametrize("bounds", [(-1, 50), (50, 101), (90, 60), (60, 60)])
def test_percentiles_out_of_range(bounds):
    with pytest.raises(ValueError, match=r"VRA: .*got"):
        VRA(*bounds)

"""Mahalanobis++ and its relative form against inverses of covariances."""

import numpy as np
import pytest

from flowjax_ood.ood import MahalanobisPlusPlus, RelativeMahalanobisPlusPlus
from tests.helpers import blob_outputs as blobs

F = blobs.wide(blobs.TRAIN)[1]
U = F / np.linalg.norm(F, axis=1, keepdims=True)
BOTH = [MahalanobisPlusPlus(), RelativeMahalanobisPlusPlus()]


@pytest.mark.parametrize("detector", BOTH, ids=lambda d: d.name)
def test_of_unit_features(detector):
    means = np.array([U[c == blobs.LABELS].mean(0) for c in range(3)])
    about = U - means[blobs.LABELS]
    inverse = np.linalg.pinv(about.T @ about / len(U), rcond=1e-9)
    whole = np.linalg.pinv(np.cov(U.T, bias=True), rcond=1e-9)

    def law(z, f):
        u = f / np.linalg.norm(f)
        squared = min((u - m) @ inverse @ (u - m) for m in means)
        if detector.relative:
            squared -= (u - U.mean(0)) @ whole @ (u - U.mean(0))
        return -squared

    blobs.check_law(detector, law, (blobs.INSIDE, blobs.GREY), rtol=5e-3)


@pytest.mark.parametrize("detector", BOTH, ids=lambda d: d.name)
def test_order_and_degenerate(detector):
    blobs.check_order(detector)
    blobs.check_degenerate(detector)

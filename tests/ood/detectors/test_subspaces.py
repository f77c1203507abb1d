"""NECO against its formula by scikit-learn, ViM's residual by an SVD."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from flowjax_ood.ood import NECO, Residual
from tests.helpers import blob_outputs as blobs

F = blobs.wide(blobs.TRAIN)[1]


@pytest.mark.parametrize("max_logit", [False, True])
@pytest.mark.parametrize("dims", [0, 3])
def test_neco(max_logit, dims):
    scaler = StandardScaler().fit(F)
    # as a share, scikit-learn's is the paper's rule of 90 % of the variance
    pca = PCA(dims or 0.9, svd_solver="full").fit(scaler.transform(F))

    def law(z, f):
        h = scaler.transform(f[None])
        share = np.linalg.norm(pca.transform(h)) / np.linalg.norm(h)
        return share * (z.max() if max_logit else 1)

    blobs.check_law(NECO(dims, max_logit), law)


def test_order_and_degenerate():
    blobs.check_order(NECO(), area=0.9)
    blobs.check_degenerate(NECO())


def test_residual():
    u = -np.linalg.pinv(blobs.W.T) @ blobs.B
    _, _, vt = np.linalg.svd(F - u)
    blobs.check_law(Residual(3), lambda z, f: -np.linalg.norm(vt[3:] @ (f - u)))
    blobs.check_order(Residual(3))
    blobs.check_degenerate(Residual(3))
    with pytest.raises(ValueError, match="Residual needs 0 < dims < 24"):
        blobs.fitted(Residual(24))


@pytest.mark.parametrize("dims", [-1, 24, 1.5])
def test_dims_out_of_range(dims):
    with pytest.raises(ValueError, match=f"dims .*got {dims}"):
        blobs.fitted(NECO(dims))

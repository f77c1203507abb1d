"""NECO against its formula by scikit-learn, and the dimensions it takes."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from flowjax_ood.ood import NECO
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


@pytest.mark.parametrize("dims", [-1, 24, 1.5])
def test_dims_out_of_range(dims):
    with pytest.raises(ValueError, match=f"dims .*got {dims}"):
        blobs.fitted(NECO(dims))

"""GMM: densities against SciPy's, of mixtures that scikit-learn fitted."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from flowjax_ood.ood import GMM
from tests.helpers import blob_outputs as blobs

F = blobs.wide(blobs.TRAIN)[1]


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_gmm(covariance):
    pca = PCA(4).fit(F)
    spread = np.sqrt(pca.explained_variance_[0] * (1 - 1 / len(F)))
    x = pca.transform(F) / spread
    model = GaussianMixture(3, covariance_type=covariance, random_state=0).fit(x)
    tied = covariance == "tied"

    def law(z, f):
        x = pca.transform(f[None])[0] / spread
        parts = [
            np.log(weight)
            + multivariate_normal.logpdf(
                x, mean, model.covariances_[... if tied else k]
            )
            for k, (weight, mean) in enumerate(zip(model.weights_, model.means_))
        ]
        return logsumexp(parts)

    queries = blobs.INSIDE, blobs.GREY
    blobs.check_law(GMM(dims=4, covariance=covariance), law, queries, rtol=2e-3)


def test_far_and_grey_images_are_outliers():
    blobs.check_order(GMM())
    blobs.check_order(GMM(), blobs.FAR)


def test_degenerate():
    blobs.check_degenerate(GMM())
    # fewer inputs than components
    two = blobs.outputs_of(F[:2])
    of = blobs.fitted(GMM(5), two, blobs.LABELS[:2])
    assert np.isfinite(of.score_outputs(blobs.INSIDE)).all()


@pytest.mark.parametrize(
    "settings", [{"components": -1}, {"dims": 0}, {"covariance": "spherical"}]
)
def test_settings_out_of_range(settings):
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=f"{name} must be .*got {value!r}"):
        GMM(**settings)

"""GMM: the log density of a mixture of Gaussians fitted to training features."""

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import TINY, float32, float64
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import COUNT, OneOf, Within, ranges_of


def mixture(f, mean, basis, centers, roots, log_weights):
    """`log sum_k exp(w_k - |R_k' (P' (f - m) - c_k)|^2 / 2)`, nats.

    P `[D, d]`, centres c `[K, d]`, R `[K, d, d]`, or one `[1, d, d]` for all, with
    `R R' = S^-1`; w `[K]` is the logarithm of a weight times the Gaussian's constant.
    """
    x = (f - mean) @ basis

    def squared(k):
        root = roots[jnp.minimum(k, len(roots) - 1)]
        return jnp.sum(((x - centers[k]) @ root) ** 2, axis=1)

    # one component at a time: [B, K, d] need not fit in memory
    squares = jax.lax.map(squared, jnp.arange(len(centers)))
    return jax.nn.logsumexp(log_weights[:, None] - squares / 2, axis=0)


@dataclass(frozen=True)
class GMM(Detector):
    """Log density of features under a mixture of Gaussians, see `mixture`.

    Features are first projected on their `dims` principal directions (on all, if there
    are fewer) and divided by the spread of the first: it is the density of those.

    * `components`: 0 is as many as classes; never more than training inputs;
    * `covariance`: "tied", one for all components, or "full", one each;
    * `iterations` of expectation-maximisation at most, from k-means by `given.seed`.

    50 directions and one covariance are OpenOOD's, which leaves out the Gaussian's
    constant. pytorch-ood has a Gaussian for each class and takes the distance to the
    nearest. Raises ImportError without scikit-learn.
    """

    components: int = 0
    dims: int = 50
    covariance: Literal["tied", "full"] = "tied"
    iterations: int = 100
    name = "GMM"
    grid: ClassVar = {"components": (0, 1, 5)}
    requires = Requires(train_data=True, sklearn=True)
    ranges = ranges_of(
        components=Within(0, integer=True),
        dims=COUNT,
        covariance=OneOf(("tied", "full")),
        iterations=COUNT,
    )

    def prepared(self, network, given):
        z, f = float64(given.train)
        mean = f.mean(0)
        variances, basis = np.linalg.eigh((f - mean).T @ (f - mean) / len(f))
        basis = basis[:, ::-1][:, : self.dims] / np.sqrt(max(variances[-1], TINY))
        x = (f - mean) @ basis
        model = _expectation_maximisation(
            x,
            n_components=min(self.components or z.shape[1], len(x)),
            covariance_type=self.covariance,
            max_iter=self.iterations,
            random_state=given.seed,
        )
        roots = model.precisions_cholesky_.reshape(-1, *model.means_.shape[1:] * 2)
        constants = np.linalg.slogdet(roots)[1] - x.shape[1] / 2 * np.log(2 * np.pi)
        arrays = {
            "mean": mean,
            "basis": basis,
            "centers": model.means_,
            "roots": roots,
            "log_weights": np.log(model.weights_) + constants,
        }
        return score_of(mixture, "features", **float32(arrays))


def _expectation_maximisation(x, **options):
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ImportError(
            'GMM needs scikit-learn: pip install "flowjax_ood[detect]"'
        ) from error
    with warnings.catch_warnings():
        # `iterations` is a limit; and of fewer inputs that differ than components
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(**options).fit(x)

"""The Mahalanobis detector over several layers (Lee et al. 2018)."""

from dataclasses import dataclass

from jax.tree_util import Partial

from flowjax_ood.ood.detectors.features import mahalanobis_of
from flowjax_ood.ood.detectors.layer_scores import LayerScores
from flowjax_ood.ood.detectors.layer_weights import LayerDetector
from flowjax_ood.ood.features import SHRINKAGE, Shrinkage
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.network import Network, pool
from flowjax_ood.ood.settings import ranges_of
from flowjax_ood.ood.summaries import MomentsOf, Summary

MAGNITUDES = (
    *(0.02, 0.015, 0.01, 0.009, 0.008, 0.007, 0.006, 0.005, 0.004, 0.003, 0.002),
    *(0.0014, 0.001, 0.0005),
)


def _half_distance(fitted, layer, activations):
    return 0.5 * fitted[layer].score(pool(activations))


@dataclass(frozen=True)
class MahalanobisLayers(LayerDetector):
    """`sum_k a_k M_k(x + m sign(dM_k/dx))`, M_k of the layer's mean over positions.

    `M_k(x) = max_c -1/2 (f_k - mu_kc)' S_k^+ (f_k - mu_kc)`: Gaussians of one
    covariance a layer, fitted to training data. `weights` and `magnitudes` as in
    `FSSD`; the published grid and "logistic" are the default. `shrinkage` of the
    covariances as in `Mahalanobis.fit`.
    """

    weights: str = "logistic"
    magnitudes: tuple[float, ...] = MAGNITUDES
    batch_size: int = 250
    label: str = "Mahalanobis"
    shrinkage: Shrinkage = 0.0

    of_training = True
    ranges = ranges_of(**LayerDetector.ranges, shrinkage=SHRINKAGE)

    def summaries(self, network: Network) -> tuple[Summary, ...] | None:
        if self.shrinkage == "ledoit_wolf":
            return None
        return tuple(map(MomentsOf, network.layers))

    def layer_scores(self, network: Network, given: Given) -> LayerScores:
        settings = {"shrinkage": self.shrinkage}
        fitted = {
            k: mahalanobis_of(given, MomentsOf(k), **settings) for k in network.layers
        }
        return LayerScores(network, Partial(_half_distance, fitted))

"""Distances to reference images and to clusters of them, of pixels or latents."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.batched import in_batches
from flowjax_ood.ood.flows.latents import OF, Of, RowScore, check_scale, described, rows
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import Score, reference
from flowjax_ood.ood.flows.subspaces import components, reference_rows
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.mahalanobis import Mahalanobis
from flowjax_ood.ood.nearest_neighbors import NearestNeighbors
from flowjax_ood.ood.settings import COUNT, ranges_of

# images whose distances are computed together
TOGETHER = 512
# rounds of k-means at most
ROUNDS = 50


@dataclass(frozen=True)
class NeighbourDistance(RowScore):
    """`-|t - t_(k)|`, t_(k) the k-th nearest of at most 6,000 reference images.

    t are the first `components` principal components, in their own units, or all if
    there are fewer; None: pixels (in levels) or latents themselves.
    """

    k: int = 5
    components: int | None = 64
    label: str = ""
    ranges: ClassVar = ranges_of(of=OF, k=COUNT)

    def __post_init__(self):
        super().__post_init__()
        if self.components is not None and not COUNT.allows(self.components):
            raise ValueError(
                f"NeighbourDistance: components must be {COUNT} or None; got "
                f"{self.components!r}"
            )

    @property
    def name(self) -> str:
        return self.label or f"{self.k}-NN of {described(self.of, self.scale)}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        reference(given, self.k + 1, self.name)
        project = _projection(self, given)
        known = reference_rows(given, self.of, self.scale, self.name)
        fitted = NearestNeighbors.fit(project(known), k=self.k, normalize=False)

        def score(outputs: FlowOutputs) -> np.ndarray:
            t = project(rows(outputs, self.of, self.scale))
            return in_batches(fitted.score, t, TOGETHER)

        return score


@dataclass(frozen=True)
class ClusteredGaussians(RowScore):
    """`-min_k (t - m_k)' S^-1 (t - m_k)` over the means of k-means clusters.

    t are the first `components` principal components, or all if there are fewer; S is
    the covariance about the means, one for all clusters. Clusters are of at most 6,000
    reference images, by `given.seed`.
    """

    of: Of = "pixels"
    clusters: int = 30
    components: int = 64
    label: str = ""
    ranges: ClassVar = ranges_of(of=OF, clusters=COUNT, components=COUNT)

    @property
    def name(self) -> str:
        where = described(self.of, self.scale)
        return self.label or f"{self.clusters} Gaussians of {where}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)
        # two images in a cluster, for a spread about its mean
        reference(given, 2 * self.clusters, self.name)
        project = _projection(self, given)
        known = project(reference_rows(given, self.of, self.scale, self.name))
        labels = k_means(known, self.clusters, given.seed)
        fitted = Mahalanobis.fit(known, labels)

        def score(outputs: FlowOutputs) -> np.ndarray:
            t = project(rows(outputs, self.of, self.scale))
            return in_batches(fitted.score, t, TOGETHER)

        return score


def _projection(score: NeighbourDistance | ClusteredGaussians, given: Given):
    """Rows to what distances are of, float64."""
    if score.components is None:
        return lambda x: x
    found = components(given, score.of, score.scale, score.name)
    return lambda x: found.project(x, 0, score.components)


def k_means(x: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Label rows `[N, D]` by k-means from k-means++: integers `[N]`.

    The same seed gives the same labels. Source: Arthur and Vassilvitskii 2007.
    """
    from scipy.cluster.vq import kmeans2

    with warnings.catch_warnings():
        # a cluster may lose all its rows; the others remain
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        rng = np.random.default_rng(seed)
        return kmeans2(x, clusters, iter=ROUNDS, minit="++", rng=rng)[1]

"""Controls that need no flow, beside which every score stands: levels, and PPCA."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.latents import rows
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score
from flowjax_ood.ood.flows.subspaces import check_count, components
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, ranges_of


@dataclass(frozen=True)
class MeanIntensity(FlowScore):
    """The mean level of an image's pixels: dark and bright images are both unusual."""

    label: str = "mean intensity"
    low_share: ClassVar[float] = 0.5
    passes: ClassVar[float] = 0.0
    of_images: ClassVar[bool] = True

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        return lambda outputs: rows(outputs, "pixels").mean(1)


@dataclass(frozen=True)
class PPCA(FlowScore):
    """Log-density of pixels by probabilistic PCA, nats on [0, 1)^D.

    The Gaussian with covariance `V (L - s I) V' + s I`: V and L are the first `rank`
    principal components and their variances, s the mean of all other variances. Pixels
    are taken in the middle of their level; vectors as they are. At most 6,000 reference
    images. Source: Tipping and Bishop 1999, section 3.2.
    """

    rank: int = 64
    label: str = ""
    requires: ClassVar[Requires] = Requires(train_data=True)
    low_share: ClassVar[float] = 0.5
    passes: ClassVar[float] = 0.0
    ranges: ClassVar = ranges_of(rank=COUNT)

    @property
    def name(self) -> str:
        return self.label or f"PPCA {self.rank}"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        found = components(given, "pixels", None, self.name)
        check_count(found, self.rank + 1, given, self.name)
        rank, dims = self.rank, len(found.mean)
        noise = (found.total - found.variances[:rank].sum()) / (dims - rank)
        log_volume = np.log(found.variances[:rank]).sum()
        log_volume += (dims - rank) * np.log(noise)
        constant = (dims * np.log(2 * np.pi) + log_volume) / 2
        # a level is 1 / bins wide
        per_level = dims * np.log(network.bins) if network.of_images else 0.0

        def score(outputs: FlowOutputs) -> np.ndarray:
            x = rows(outputs, "pixels")
            squares = found.squared(x, 0, rank) + found.residual(x, rank) / noise
            return per_level - constant - squares / 2

        return score

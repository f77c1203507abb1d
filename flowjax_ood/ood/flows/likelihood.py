"""Log-likelihood, its terms, and how typical it is."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.latents import check_scale
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import (
    LEAST_CALIBRATED,
    FlowScore,
    Score,
    calibration,
    check_varies,
)
from flowjax_ood.ood.given import Given, Requires


@dataclass(frozen=True)
class LogLikelihood(FlowScore):
    """`log p(x)`, nats: what the paper shows to fail."""

    label: str = "log p(x)"
    low_share: ClassVar[float] = 0.5

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        return lambda outputs: outputs.log_prob


@dataclass(frozen=True)
class LatentLikelihood(FlowScore):
    """`log p_Z(z)`, nats: the first term of log p(x)."""

    label: str = "log p(z)"
    low_share: ClassVar[float] = 0.5

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        return lambda outputs: outputs.latent_log_prob


@dataclass(frozen=True)
class LogDeterminant(FlowScore):
    """`log |det dz/dx|`, nats: the second term of log p(x)."""

    label: str = "log-determinant"
    low_share: ClassVar[float] = 0.5

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        return lambda outputs: outputs.log_determinant


@dataclass(frozen=True)
class ScaleLikelihood(FlowScore):
    """`log N(z_i) + d_i`: the terms of log p(x) that scale i adds, -1 the coarsest.

    d_i is the log-determinant gained since the scale before. The sum over scales is
    log p(x). Source: Schirrmeister et al. 2020. ValueError for a scale that the flow
    does not have.
    """

    scale: int = -1
    label: str = "last scale"
    low_share: ClassVar[float] = 0.5

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        check_scale(network, self.scale, self.name)

        def score(outputs: FlowOutputs) -> np.ndarray:
            terms = outputs.log_pz.astype(np.float64) + outputs.logdet
            return terms[:, self.scale]

        return score


@dataclass(frozen=True)
class Typicality(FlowScore):
    """`-|log p(x) - m|`, m the mean over calibration images: 0 where x is typical.

    m is of images that no flow was trained on: overfitting would move it. ValueError
    for fewer than 20 of them, and where log p(x) is the same for all. Source: Nalisnick
    et al. 2019, with one image a group.
    """

    label: str = "typicality"
    requires: ClassVar[Requires] = Requires(id_validation=True)

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        log_prob = calibration(given, LEAST_CALIBRATED, self.name).log_prob
        check_varies(log_prob, "log p(x)", self.name)
        mean = log_prob.mean()
        return lambda outputs: -np.abs(outputs.log_prob - mean)

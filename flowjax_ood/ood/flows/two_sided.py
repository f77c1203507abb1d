"""The p-value of a score by calibration, low where it is low or high."""

from dataclasses import dataclass, replace

import numpy as np

from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import (
    LEAST_CALIBRATED,
    FlowScore,
    Score,
    WrappingScore,
    calibration,
    check_varies,
)
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.p_values import two_sided_p


@dataclass(frozen=True)
class TwoSided(WrappingScore):
    """p-value of a score, two-sided with its `low_share`: uniform in-distribution.

    `p = min(1, p_low / w, p_high / (1 - w))` by the n calibration images, see
    `ood.two_sided_p`. Its steps are of 1 / (n + 1), so images that are more unusual
    than all calibration images tie. Of scores that are themselves fitted to calibration
    images, p-values are approximately valid. ValueError for fewer than 20 calibration
    images, and where the score is the same for all.
    """

    of: FlowScore
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.of.name}, two-sided"

    @property
    def requires(self) -> Requires:
        return replace(self.of.requires, id_validation=True)

    @property
    def passes(self) -> float:
        return self.of.passes

    @property
    def of_images(self) -> bool:
        return self.of.of_images

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        fitted = self.of.fit(network, given)
        outputs = calibration(given, LEAST_CALIBRATED, self.name)
        held_out = fitted.score_outputs(outputs)
        check_varies(held_out, self.of.name, self.name)

        def score(outputs: FlowOutputs) -> np.ndarray:
            values = fitted.score_outputs(outputs)
            return two_sided_p(values, held_out, self.of.low_share)

        return score

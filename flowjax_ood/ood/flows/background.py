"""Likelihood ratio of a flow to a background flow."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.others import check_same_events, log_prob_under
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score
from flowjax_ood.ood.given import Given


@dataclass(frozen=True)
class BackgroundRatio(FlowScore):
    """`log p(x) - log p_B(x)`, nats: what the flow knows beyond a background flow B.

    B knows what is common to many images. It is the same flow trained on `data.mutated`
    images (Ren et al. 2019), or on a broad set of images from which the flow itself was
    then trained on (Schirrmeister et al. 2020). How B is made must not be chosen by
    outliers. Both flows see the same dequantised image. Raises ValueError for a
    background of events of another shape.
    """

    background: ScoredFlow
    label: str = "background ratio"
    low_share: ClassVar[float] = 0.5
    passes: ClassVar[float] = 2.0

    def check(self, network: ScoredFlow, given: Given) -> None:
        super().check(network, given)
        check_same_events(self.name, network, (self.background,), "the background")

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        def score(outputs: FlowOutputs) -> np.ndarray:
            return outputs.log_prob - log_prob_under(network, self.background, outputs)

        return score

"""WAIC: the mean log-likelihood of several flows, less its variance."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.others import check_same_events, log_prob_under
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score
from flowjax_ood.ood.given import Given


@dataclass(frozen=True)
class WAIC(FlowScore):
    """`mean_k l_k - var_k l_k` of K log-likelihoods: of the flow and its `members`.

    The variance is the unbiased one, its divisor K - 1; l is in nats, so the sum is not
    free of units. The members are trained as the flow was, from other seeds; all see
    the same dequantised image. Source: Choi et al. 2018, section 2. Raises ValueError
    without members, for the flow itself among them, and for other events.
    """

    members: tuple[ScoredFlow, ...]
    label: str = "WAIC"
    low_share: ClassVar[float] = 0.5

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.members, tuple) or not self.members:
            raise ValueError(
                "WAIC: members must be a tuple of one or more other flows, (flow,); "
                f"got {self.members!r}"
            )
        object.__setattr__(self, "passes", 1.0 + len(self.members))

    def check(self, network: ScoredFlow, given: Given) -> None:
        super().check(network, given)
        check_same_events(self.name, network, self.members, "a member")
        every = (network, *self.members)
        if len({id(flow) for flow in every}) < len(every):
            raise ValueError(
                f"{self.name}: a flow is there twice; members are other trained flows"
            )

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        def score(outputs: FlowOutputs) -> np.ndarray:
            others = [log_prob_under(network, other, outputs) for other in self.members]
            every = np.stack([outputs.log_prob, *others])
            # a member, or the flow, that is not finite has no variance
            every = np.where(np.isfinite(every), every, np.nan)
            return every.mean(0) - every.var(0, ddof=1)

        return score

"""Scores of features that something else than the flow makes of images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.features import checked
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score, reference
from flowjax_ood.ood.given import Given, Requires

# images with features that a score is fitted to, at least
LEAST_REFERENCES = 50


@dataclass(frozen=True)
class FeatureScore(FlowScore):
    """`score(features(x))`, of features such as those of a pretrained encoder.

    The flow takes no part; it says of what shape images are.

    Args:
        features: uint8 images `[N, H, W, C]` to numbers `[N, D]`.
        fitted: `(features [n, D] of reference images, seed)` to a function of `[N, D]`
            that gives `[N]`, higher = more in-distribution.
        label: the name.
        low_share: as of `FlowScore`; here of each score.

    Raises ValueError for fewer than 50 reference images, and features that are not
    finite or not `[N, D]`.
    """

    features: Callable[[np.ndarray], np.ndarray]
    fitted: Callable[[np.ndarray, int], Callable[[np.ndarray], np.ndarray]]
    label: str = field(kw_only=True)
    low_share: float = field(default=1.0, kw_only=True)
    requires: ClassVar[Requires] = Requires(train_data=True)
    passes: ClassVar[float] = 0.0
    of_images: ClassVar[bool] = True

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        known = reference(given, LEAST_REFERENCES, self.name).events
        score = self.fitted(np.asarray(checked(self.features(known))), given.seed)

        def of_outputs(outputs: FlowOutputs) -> np.ndarray:
            found = checked(self.features(outputs.events))
            return np.asarray(score(np.asarray(found)), np.float64)

        return of_outputs

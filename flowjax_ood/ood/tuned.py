"""Choose a detector's settings by validation inputs, for any detector with a grid."""

import itertools
from dataclasses import dataclass, replace

import jax
import numpy as np

from flowjax_ood.ood.detector import Detector, Fitted, Given, Requires
from flowjax_ood.ood.metrics import auroc
from flowjax_ood.ood.network import Network, Outputs


@dataclass(frozen=True)
class Tuned(Detector):
    """The candidate of the highest AUROC on validation inputs, the first of equals.

    Every combination of the settings in `detector.grid` is fitted as the detector
    itself is, and scores the second halves of `given.id_validation` and
    `given.ood_validation`, inputs or, for detectors of outputs, `Outputs`: those that
    weights are fitted on, by detectors that have any, take no part. The search of
    OpenOOD, with this library's validation inputs.

    Raises ValueError for a detector without a grid, which has nothing to choose.
    """

    detector: Detector

    def __post_init__(self):
        if not self.detector.grid:
            raise ValueError(f"{self.name} has no settings to choose among")

    @property
    def name(self) -> str:
        return self.detector.name

    @property
    def requires(self) -> Requires:
        return replace(self.detector.requires, ood_validation=True)

    def candidates(self) -> list[Detector]:
        """List the detectors compared, the last setting changing fastest."""
        grid = self.detector.grid
        return [
            replace(self.detector, **dict(zip(grid, values)))
            for values in itertools.product(*grid.values())
        ]

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        candidates = self.candidates()
        halves = list(map(_second_half, (given.id_validation, given.ood_validation)))
        # of a forward pass that all candidates share, or of none
        outputs = halves if isinstance(halves[0], Outputs) else None
        areas, fitted = [], []
        for candidate in candidates:
            fitted.append(candidate.fit(network, given))
            if not fitted[-1].of_outputs:
                scores = map(fitted[-1].score, halves)
            else:
                outputs = outputs or list(map(network.collect, halves))
                scores = map(fitted[-1].score_outputs, outputs)
            areas.append(auroc(*scores).value)
        best = int(np.argmax(areas))
        settings = {k: getattr(candidates[best], k) for k in self.detector.grid}
        chosen = {**fitted[best].chosen, **settings, "validation_auroc": areas[best]}
        return replace(fitted[best], requires=self.requires, chosen=chosen)


def _second_half(x):
    rows = len(jax.tree.leaves(x)[0])
    return jax.tree.map(lambda a: a[rows // 2 :], x)

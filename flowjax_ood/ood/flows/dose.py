"""DoSE: how usual an image's statistics are among those of reference images."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from flowjax_ood.ood.flows.densities import (
    MOST_CENTRES,
    fit_kde,
    fit_mixture,
    fit_svm,
    standardised,
)
from flowjax_ood.ood.flows.likelihood import (
    LatentLikelihood,
    LogDeterminant,
    LogLikelihood,
)
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import (
    FlowScore,
    Score,
    drawn,
    reference,
    shared_passes,
)
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, OneOf, Within, ranges_of

DENSITIES = ("kde", "svm", "mixture")
LEAST_REFERENCES = 20


@dataclass(frozen=True)
class DoSE(FlowScore):
    """Log density of scores, taken as statistics, under those of reference images.

    * `statistics`: scores of a flow, each fitted to the same data;
    * `density`: "kde", the sum of the log densities of each, with Gaussian kernels by
      Scott's rule; "svm", a one-class SVM with at most a share `nu` of the reference
      outside; "mixture", `components` Gaussians. The latter two need scikit-learn.

    "kde" takes statistics as independent: of two that are alike, each counts. At most
    10,000 reference images are used, drawn by `given.seed`; they may be those that the
    flow was trained on. Source: Morningstar et al. 2021. Raises ValueError for fewer
    than 20 reference images, and for a statistic that is constant on them.
    """

    statistics: tuple[FlowScore, ...] = (
        LogLikelihood(),
        LatentLikelihood(),
        LogDeterminant(),
    )
    density: Literal["kde", "svm", "mixture"] = "kde"
    nu: float = 0.1
    components: int = 5
    label: str = "DoSE"
    requires: ClassVar[Requires] = Requires(train_data=True)
    ranges: ClassVar = ranges_of(
        density=OneOf(DENSITIES),
        nu=Within(0, 1, "(", hint="a share, not per cent"),
        components=COUNT,
    )

    def __post_init__(self):
        super().__post_init__()
        several = isinstance(self.statistics, tuple) and self.statistics
        if not several or not all(isinstance(s, FlowScore) for s in self.statistics):
            raise ValueError(
                "DoSE: statistics must be a tuple of one or more scores of a flow, "
                f"(LogLikelihood(),); got {self.statistics!r}"
            )
        needs = [s.requires for s in self.statistics]
        needed = replace(
            type(self).requires,
            id_validation=any(r.id_validation for r in needs),
            sklearn=self.density != "kde" or any(r.sklearn for r in needs),
        )
        # what it costs and needs is that of its statistics
        own = {
            "requires": needed,
            "passes": shared_passes(self.statistics),
            "of_images": any(s.of_images for s in self.statistics),
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The label, and the density in brackets."""
        return f"{self.label} ({self.density})"

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        least = LEAST_REFERENCES
        if self.density == "mixture":
            least = max(least, 4 * self.components)
        train = reference(given, least, self.name)
        train = drawn(train, MOST_CENTRES, given.seed)
        fitted = [s.fit(network, given) for s in self.statistics]

        def statistics(outputs: FlowOutputs) -> np.ndarray:
            return np.stack([f.score_outputs(outputs) for f in fitted], 1)

        t = statistics(train)
        names = tuple(f.name for f in fitted)
        scaled = standardised(t, names, self.name)
        density = self._fitted(scaled(t), given.seed)
        return lambda outputs: density(scaled(statistics(outputs)))

    def _fitted(self, t: np.ndarray, seed: int):
        if self.density == "kde":
            return fit_kde(t)
        if self.density == "svm":
            return fit_svm(t, self.nu)
        return fit_mixture(t, self.components, seed)

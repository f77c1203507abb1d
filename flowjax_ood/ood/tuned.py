"""Choose a detector's settings by validation inputs, for any detector with a grid."""

import itertools
from dataclasses import dataclass, replace

import jax

from flowjax_ood.ood.detector import Detector, Fitted, Staged
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.metrics import auroc
from flowjax_ood.ood.network import Network, Outputs
from flowjax_ood.ood.summaries import Summary

# inputs of a batch
BATCH = 250


@dataclass(frozen=True)
class Tuned(Detector):
    """The candidate of the highest AUROC on validation inputs, the first of equals.

    Every combination of the settings in `detector.grid` is fitted as the detector
    itself is, and scores the second halves of `given.id_validation` and
    `given.ood_validation`, inputs or, for detectors of outputs, `Outputs`: those that
    weights are fitted on, by detectors that have any, take no part. The search of
    OpenOOD, with this library's validation inputs.

    Raises ValueError for a detector without a grid, which has nothing to choose, and in
    a stream for one of which some candidates need all training data at once.
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

    @property
    def validated_by_outputs(self) -> bool:
        return type(self.detector).fit is Detector.fit

    def candidates(self) -> list[Detector]:
        """List the detectors compared, the last setting changing fastest."""
        grid = self.detector.grid
        return [
            replace(self.detector, **dict(zip(grid, values)))
            for values in itertools.product(*grid.values())
        ]

    def summaries(self, network: Network) -> tuple[Summary, ...] | None:
        candidates = self.candidates()
        wanted = [c.summaries(network) for c in candidates]
        whole = [c for c, summaries in zip(candidates, wanted) if summaries is None]
        gathered = [summaries for summaries in wanted if summaries is not None]
        if not gathered:
            return None
        if whole:
            raise ValueError(
                f"Tuned compares settings of {self.name} of which {whole[0]!r} needs "
                "all training data at once, not in batches: fit(network, "
                "Given(train=network.collect(batches)))"
            )
        return tuple(dict.fromkeys(itertools.chain(*gathered)))

    def check(self, network: Network, given: Given) -> None:
        self.detector.check(network, given)
        super().check(network, given)

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        halves = list(map(_second_half, (given.id_validation, given.ood_validation)))
        shared = _Shared(halves)
        best, highest, settings = None, -1.0, {}
        for candidate in self.candidates():
            fitted = candidate.fit(network, given)
            area = auroc(*shared.scores(fitted)).value
            # only the best is kept: each may hold all training features
            if area > highest:
                settings = {k: getattr(candidate, k) for k in self.detector.grid}
                best, highest = fitted, area
            del fitted
        assert best is not None  # of a grid with a candidate, by an AUROC in [0, 1]
        # as they come back from a file
        settings = {
            k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()
        }
        chosen = {**best.chosen, **settings, "validation_auroc": highest}
        return replace(best, requires=self.requires, chosen=chosen)


class _Shared:
    """Scores of sets by several fits of one network, which is run once if it can be."""

    def __init__(self, sets):
        self.sets, self.measured = sets, None

    def scores(self, fitted: Fitted) -> list:
        if fitted.of_outputs:
            self.measured = self.measured or [
                x if isinstance(x, Outputs) else fitted.network.collect(x)
                for x in self.sets
            ]
            return [fitted.score_outputs(x) for x in self.measured]
        if isinstance(fitted.function, Staged):
            measure = fitted.function.measure
            self.measured = self.measured or [measure(x, BATCH) for x in self.sets]
            finish = fitted.function.finish
            return [fitted.checked(finish(x, BATCH)) for x in self.measured]
        return [fitted.score(x) for x in self.sets]


def _second_half(x):
    rows = len(jax.tree.leaves(x)[0])
    return jax.tree.map(lambda a: a[rows // 2 :], x)

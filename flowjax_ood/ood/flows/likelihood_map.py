"""Whether log p(x) is spread over an image as it is over reference images."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np

from flowjax_ood.analysis.likelihood_map import completed, map_parts
from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score, drawn, reference
from flowjax_ood.ood.flows.subspaces import ROWS, Components, check_count
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, OneOf, ranges_of

# usual deviations of squares from their medians
EXPLODED = 1000.0


@dataclass(frozen=True)
class LikelihoodMap(FlowScore):
    """`-T^2` or `-Q` of the map of log p(x) over squares of an image.

    `analysis.likelihood_map`, summed over squares of `patch` x `patch` pixels, and of
    that the principal components of at most 6,000 reference images. "T2" is the squared
    distance within the first `rank` of them, each in units of its variance, "Q" that
    outside, in nats squared. log p(x) is the sum of the map, and these say how it comes
    about. A map that is not finite has the score -inf. Reference images whose map is
    a thousand times as far from the median as is usual are left out of the fit.

    `of="levels"`: the same of the sums of the pixels' levels, a control without a flow.

    Raises ValueError for squares that do not fill the image, for fewer components than
    `rank` (and one more, of "Q"), and as `likelihood_map` does.
    """

    measure: Literal["T2", "Q"] = "T2"
    patch: int = 4
    rank: int = 16
    of: Literal["likelihood", "levels"] = "likelihood"
    label: str = ""
    of_images: ClassVar[bool] = True
    requires: ClassVar[Requires] = Requires(train_data=True)
    low_share: ClassVar[float] = 0.8
    ranges: ClassVar = ranges_of(
        measure=OneOf(("T2", "Q")),
        patch=COUNT,
        rank=COUNT,
        of=OneOf(("likelihood", "levels")),
    )

    @property
    def name(self) -> str:
        what = "the likelihood map" if self.of == "likelihood" else "levels of squares"
        return self.label or f"{self.measure} {self.rank} of {what}"

    @property
    def passes(self) -> float:
        return 2.0 if self.of == "likelihood" else 0.0

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        height, width, _ = network.shape
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"{self.name}: squares of {self.patch} pixels do not fill images of "
                f"{height} x {width}"
            )

        def made() -> _Squares:
            return _Squares(network, self.patch, self.of)

        # of both measures: one pass for each image
        squares = given.once((LikelihoodMap, network, self.patch, self.of), made)

        def fitted() -> Components:
            known = drawn(reference(given, 2, self.name), ROWS, given.seed)
            return Components.of(_without_exploded(squares(known)), self.name)

        found = given.once((LikelihoodMap, squares), fitted)
        wanted = self.rank if self.measure == "T2" else self.rank + 1
        check_count(found, wanted, given, self.name)

        def score(outputs: FlowOutputs) -> np.ndarray:
            rows = squares(outputs)
            finite = np.isfinite(rows).all(1)
            rows = np.where(finite[:, None], rows, found.mean)
            if self.measure == "T2":
                away = found.squared(rows, 0, self.rank)
            else:
                away = found.residual(rows, self.rank)
            return np.where(finite, -away, -np.inf)

        return score


def event_maps(
    network: ScoredFlow, events: np.ndarray, batch_size: int = 250
) -> np.ndarray:
    """`analysis.likelihood_map` of events as they are stored: float64, nats.

    Images are dequantised with the noise of `ScoredFlow.collect`. Raises as both do.
    """
    events = network.check(events)
    inputs, program = network.inputs(events), partial(_parts, network)
    return completed(in_batches(program, inputs, at_once(events, batch_size)))


def _without_exploded(rows: np.ndarray) -> np.ndarray:
    """Leave out rows that alone would be the components: of a flow that is not smooth.

    Those with a square `EXPLODED` times as far from its median as is usual.
    """
    away = np.abs(rows - np.median(rows, 0))
    usual = np.median(np.median(away, 0))
    kept = (away <= EXPLODED * usual).all(1) | (usual == 0)
    return rows[kept]


class _Squares:
    """Maps of images, or their levels, summed over squares: float64 `[N, squares]`.

    Remembered for as long as the outputs they are of are kept.
    """

    def __init__(self, network: ScoredFlow, patch: int, of: str):
        self.network, self.patch, self.of = network, patch, of
        self.known: WeakKeyDictionary[FlowOutputs, np.ndarray] = WeakKeyDictionary()

    def __call__(self, outputs: FlowOutputs) -> np.ndarray:
        if outputs not in self.known:
            maps = outputs.events.astype(np.float64)
            if self.of == "likelihood":
                maps = event_maps(self.network, outputs.events)
            count, height, width, _ = maps.shape
            high, wide = height // self.patch, width // self.patch
            # pixels of a square that lie in one row, and their channels, are one axis
            squares = maps.reshape(count, high, self.patch, wide, -1)
            self.known[outputs] = squares.sum((2, 4)).reshape(count, -1)
        return self.known[outputs]


@compiled
def _parts(network: ScoredFlow, inputs: FlowInputs):
    points = network.points(inputs)
    return map_parts(network.flow, network.variables, points)

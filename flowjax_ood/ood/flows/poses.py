"""Whether an image is nearer to reference images once it is turned or flipped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.flows.neighbours import NeighbourDistance
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FittedScore, FlowScore, Score, WrappingScore
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import OneOf, ranges_of

# the distance of the default
DISTANCE = NeighbourDistance("pixels")

Turn = Callable[[np.ndarray], np.ndarray]


def _turned(quarters: int, mirrored: bool = False) -> Turn:
    """Mirror images left to right, perhaps, then turn them by quarters."""

    def turn(images: np.ndarray) -> np.ndarray:
        images = images[:, :, ::-1] if mirrored else images
        return np.ascontiguousarray(np.rot90(images, quarters, axes=(1, 2)))

    return turn


_ROTATIONS = tuple(_turned(quarters) for quarters in (1, 2, 3))
# the poses that an image is compared with, by the name of the group
POSES: dict[str, tuple[Turn, ...]] = {
    "half_turn": (_turned(2),),
    "rotations": _ROTATIONS,
    # mirrored and turned by 1, 2 and 3 quarters: about the two diagonals, and upside
    # down; all but the mirror image itself
    "dihedral_no_mirror": (
        *_ROTATIONS,
        *(_turned(quarters, mirrored=True) for quarters in (1, 2, 3)),
    ),
}


@dataclass(frozen=True)
class PoseContrast(WrappingScore):
    """`-(s(x) - m) / (s(x) + m)`, `m = min_g s(g x)`: in -1 ... 1.

    s is a distance to reference images: minus the score `of`, which must not be above
    0. The contrast is high where x is nearer to reference images as it is than in every
    other pose g of `group`:

    * "half_turn": turned by 180 degrees. Then the scores of the two poses are opposite
      numbers;
    * "rotations": turned by 90, 180 and 270 degrees;
    * "dihedral_no_mirror": also turned upside down by a reflection, and reflected about
      the two diagonals. The mirror image is left out: mirrored objects are as usual.

    Positions must tell in s: of a convolutional flow's likelihood, no pose stands out.
    s(x) = m = 0 gives 0. The flow is not run on turned images where `of` costs no pass.

    Turned and flipped images are told to this score: results on them do not say how it
    does on outliers that nobody thought of. Raises ValueError for images that are not
    square.
    """

    of: FlowScore = DISTANCE
    group: str = "dihedral_no_mirror"
    label: str = ""
    of_images: ClassVar[bool] = True
    ranges: ClassVar = ranges_of(group=OneOf(tuple(POSES)))

    @property
    def name(self) -> str:
        return self.label or f"pose contrast of {self.of.name}"

    @property
    def requires(self) -> Requires:
        return self.of.requires

    @property
    def passes(self) -> float:
        return self.of.passes * (1 + len(POSES[self.group]))

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        height, width, _ = network.shape
        if height != width:
            raise ValueError(
                f"{self.name} turns images by 90 degrees, so they must be square; this "
                f"flow's are {height} x {width}: crop or pad them"
            )
        fitted = self.of.fit(network, given)

        def score(outputs: FlowOutputs) -> np.ndarray:
            own = self._distance(fitted, outputs)
            turned = [
                self._distance(fitted, self._outputs(network, turn(outputs.events)))
                for turn in POSES[self.group]
            ]
            least = np.min(turned, axis=0)
            total = own + least
            return (least - own) / np.where(total == 0, 1.0, total)

        return score

    def _outputs(self, network: ScoredFlow, images: np.ndarray) -> FlowOutputs:
        if self.of.passes:
            return network.collect(images)
        # of pixels alone: latents and density are not looked at
        unknown = np.full((len(images), 1), np.nan)
        return FlowOutputs(images, unknown, unknown, ())

    def _distance(self, fitted: FittedScore, outputs: FlowOutputs) -> np.ndarray:
        distance = -fitted.score_outputs(outputs)
        if (distance < 0).any():
            raise ValueError(
                f"{self.name} takes a distance, a score that is 0 at most, and "
                f"{fitted.name} is {-distance.min():.6g} for an image: give a score "
                'such as NeighbourDistance("pixels")'
            )
        return distance

"""Which numbers of a flow's outputs a score looks at: scales, rows of latents."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import OneOf, ranges_of

Of = Literal["latents", "pixels"]
OF = OneOf(("latents", "pixels"))


def scale_shapes(network: ScoredFlow) -> tuple[tuple[int, ...], ...]:
    """The shape of the latents that leave the flow at each scale, finest first."""
    shapes = network.flow.latent_shape()
    return tuple(shapes) if isinstance(shapes[0], tuple) else (tuple(shapes),)


def position_shapes(network: ScoredFlow, name: str) -> tuple[tuple[int, ...], ...]:
    """`scale_shapes` of latents that lie at positions of an image, `(h, w, C)` each.

    Raises ValueError, naming the score, for others, such as tokens.
    """
    shapes = scale_shapes(network)
    if any(len(shape) != 3 for shape in shapes):
        raise ValueError(
            f"{name} needs the positions of latents, and this flow's are of shapes "
            f"{shapes}; of patches, end the bijector in Inverse(Patches(shape, size))"
        )
    return shapes


def check_scale(network: ScoredFlow, scale: int | None, name: str) -> None:
    """Raise ValueError for a scale that the flow does not have; None is all of them."""
    count = len(scale_shapes(network))
    if scale is not None and not -count <= scale < count:
        raise ValueError(
            f"{name}: scale {scale} of a flow of {count}; give one of {-count} ... "
            f"{count - 1}"
        )


def rows(outputs: FlowOutputs, of: Of, scale: int | None = None) -> np.ndarray:
    """One row an example, float64 `[N, D]`: of latents of one scale or of all.

    Of "pixels", the events as they were given: levels of images, numbers of vectors.
    """
    if of == "pixels":
        chosen = outputs.events.reshape(len(outputs), -1)
    elif scale is None:
        chosen = outputs.flat_latents()
    else:
        chosen = outputs.latents[scale].reshape(len(outputs), -1)
    return chosen.astype(np.float64)


def described(of: Of, scale: int | None) -> str:
    """What rows are of, for names: "pixels", "latents" or "latents of scale 1"."""
    return of if scale is None else f"{of} of scale {scale}"


@dataclass(frozen=True)
class RowScore(FlowScore):
    """Base of scores that compare `rows` of an image with those of reference images.

    Raises ValueError for a scale of pixels, which have none.
    """

    of: Of = "latents"
    scale: int | None = None
    requires: ClassVar[Requires] = Requires(train_data=True)
    low_share: ClassVar[float] = 0.8
    ranges: ClassVar = ranges_of(of=OF)

    def __post_init__(self):
        super().__post_init__()
        if self.of == "pixels" and self.scale is not None:
            raise ValueError(
                f"{type(self).__name__}: pixels have no scales, got "
                f"scale={self.scale!r}"
            )

    @property
    def passes(self) -> float:
        return float(self.of == "latents")

"""Flow++: couplings by mixtures of logistics, with attention in their st-networks."""

import math

import flax.linen as nn

from flowjax_ood import masks
from flowjax_ood.arguments import event_shape
from flowjax_ood.bijectors import (
    ActNorm,
    Bijector,
    Chain,
    Inverse,
    InvertibleConv1x1,
    Logit,
    MixtureCoupling,
    Reshape,
    Squeeze,
)
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.models.couplings import TAIL_WEIGHT
from flowjax_ood.models.real_nvp import Stacking, check_numbers
from flowjax_ood.networks import GatedAttention
from flowjax_ood.precision import FLOAT32, Precision, as_precision


def FlowPP(
    image_shape: tuple[int, int, int],
    *,
    parts: tuple[int, int, int] = (4, 2, 3),
    width: int = 96,
    blocks: int = 10,
    heads: int = 4,
    components: int = 32,
    dropout: float = 0.2,
    max_log_scale: float | None = 1.0,
    tail_weight: float = TAIL_WEIGHT,
    alpha: float = 0.05,
    stack: str = "chain",
    remat: str | None = None,
    reversible: bool = False,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a Flow++ on images `[B, H, W, C]` in [0, 1), without its learned noise.

    `parts`: how many couplings there are of even and odd columns, of channels after a
    squeeze, and of columns there. Before each, a scale and shift of every value
    (`ActNorm`), which starts from the batch given to `init`, and a 1x1 convolution.
    Nothing is factored out. By default of the published size for CIFAR-10. Source: Ho
    et al. 2019.

    * `width`, `blocks`, `heads`, `dropout`: of the st-networks (`GatedAttention`);
    * `components`, `max_log_scale`, `tail_weight`: of the couplings
      (`MixtureCoupling`; the source's `tail_weight` is 0);
    * the others: as in `RealNVP`.

    The convolution mixes even and odd columns, or both halves of the channels, where
    the original has one for each. `models.variationally_dequantized` adds learned
    dequantisation noise. Raises ValueError for images whose height is odd or whose
    width is no multiple of 4, and for numbers out of range.
    """
    shape = check_numbers("FlowPP", image_shape, alpha, {"components": components})
    height, columns, channels = shape
    if height % 2 or columns % 4:
        raise ValueError(
            "FlowPP needs images of even height, and of a width that is a multiple of "
            f"4, got {height} x {columns}; pad them"
        )
    numbers = event_shape("parts", parts)
    if len(numbers) != 3:
        raise ValueError(f"parts must be three numbers, got {parts!r}")
    stacking = Stacking(stack, remat, reversible)
    net = Bound(
        GatedAttention,
        width=width,
        heads=heads,
        blocks=blocks,
        dropout=dropout,
        precision=as_precision(precision),
    )
    net()  # its arguments are checked

    def run(part: int, shape) -> list[Bijector]:
        first = sum(numbers[:part])

        def step(k):
            return [
                _scaled(shape),
                InvertibleConv1x1("dense", first + k),
                MixtureCoupling(
                    net,
                    masks.alternate_channel_wise,
                    k,
                    components,
                    max_log_scale=max_log_scale,
                    tail_weight=tail_weight,
                ),
            ]

        return stacking.run(step, numbers[part])

    def by_columns(part: int, shape) -> list[Bijector]:
        """Couplings of even and odd columns, which become channels for them."""
        height, width, channels = shape
        halves = (height, width // 2, 2 * channels)
        columns = Reshape(shape, halves)
        return [columns, *run(part, halves), Inverse(Reshape(shape, halves))]

    squeezed = (height // 2, columns // 2, 4 * channels)
    layers = [*by_columns(0, shape), Squeeze()]
    layers += [*run(1, squeezed), *by_columns(2, squeezed)]
    bijector = Chain([Logit(alpha), *layers])
    flow = Flow(bijector, shape, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()
    return flow


def _scaled(shape) -> Bijector:
    """A scale and shift of every value: an `ActNorm` of the image as a vector."""
    flat = (math.prod(shape),)
    return Chain([Reshape(shape, flat), ActNorm(), Reshape(flat, shape)])

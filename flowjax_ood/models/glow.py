"""Glow, in the form the paper uses it."""

from collections.abc import Callable

import flax.linen as nn

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    Chain,
    FactorOut,
    InvertibleConv1x1,
    Logit,
    Squeeze,
)
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.models.couplings import coupling_layers
from flowjax_ood.models.real_nvp import Stacking, check_numbers, st_network
from flowjax_ood.networks import GlowConvNet, Highway
from flowjax_ood.precision import FLOAT32, Precision, as_precision


def first_half_changes(k: int, shape) -> masks.CouplingMask:
    """Mask channels: the first half of them is changed, for every k.

    No alternation: the 1x1 convolution before each coupling mixes the channels.
    """
    del k
    return masks.complementary(masks.channel_wise(shape), layout="channel")


def Glow(
    image_shape: tuple[int, int, int],
    *,
    scales: int = 2,
    steps: int = 16,
    mask: str | masks.MaskStrategy = "first_half",
    st_net: str | Callable[..., nn.Module] = "highway",
    width: int = 200,
    layers: int = 3,
    coupling: str = "affine",
    max_log_scale: float | None = None,
    bins: int = 8,
    bound: float = 5.0,
    components: int = 8,
    conv1x1: str = "dense",
    alpha: float = 0.05,
    stack: str = "chain",
    remat: str | None = None,
    reversible: bool = False,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a Glow on images `[B, H, W, C]` in [0, 1).

    Each scale: squeeze, `steps` times (ActNorm, 1x1 convolution, coupling), and, but
    for the last, half of the channels factored out. Scale by `tanh`, as in RealNVP; no
    learned priors at the splits. Source: the paper, appendix C; Kingma and Dhariwal
    2018. With splines it is a neural spline flow (Durkan et al. 2019).

    * `mask`: "first_half" of the channels is changed in every step, as in the paper;
      "checkerboard", "cycle" and the others of `masks.STRATEGIES`, or a strategy of
      your own, run through their couplings from step to step;
    * `st_net`: "highway" (with `layers`), "glow_convnet", or a module factory;
    * `conv1x1`: "dense" (as the original) or "plu". Either starts as a rotation drawn
      by the key given to `init`; permutation and signs of a "plu" are not learned, and
      the same in all flows of one shape;
    * `coupling`, `bins`, `bound`, `components`: as in `RealNVP`;
    * `max_log_scale`, `stack`, `remat`, `reversible`, `precision`, `base`,
      `conditional_bijector`: as in `RealNVP`.

    ActNorm is initialised from the batch given to `init`. Raises ValueError for images
    that cannot be halved `scales` times, for numbers out of range and unknown names.
    """
    strategy = first_half_changes if mask == "first_half" else masks.strategy(mask)
    positive = {"scales": scales, "steps": steps, "width": width}
    shape = check_numbers("Glow", image_shape, alpha, positive, layers=layers)
    if conv1x1 not in ("dense", "plu"):
        raise ValueError(f"unknown conv1x1 {conv1x1!r}; known: 'dense', 'plu'")
    stacking = Stacking(stack, remat, reversible)
    precision = as_precision(precision)
    known = {
        "highway": Bound(Highway, width=width, layers=layers, precision=precision),
        "glow_convnet": Bound(GlowConvNet, width=width, precision=precision),
    }
    net = st_network(st_net, known)
    layer = coupling_layers(
        coupling,
        max_log_scale=max_log_scale,
        bins=bins,
        bound=bound,
        components=components,
    )

    def step(seed, k):
        mix = InvertibleConv1x1(conv1x1, seed)
        return [ActNorm(), mix, layer(net, strategy, k)]

    def scale(index):
        first = index * steps
        parts = [Squeeze(), *stacking.run(lambda k: step(first + k, k), steps)]
        if index < scales - 1:
            parts.append(FactorOut(Chain(scale(index + 1))))
        return parts

    bijector = Chain([Logit(alpha), *scale(0)])
    flow = Flow(bijector, shape, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()
    return flow

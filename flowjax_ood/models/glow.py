"""Glow, in the form the paper uses it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    ActNorm,
    AffineCoupling,
    Chain,
    FactorOut,
    InvertibleConv1x1,
    Logit,
    Repeat,
    Squeeze,
)
from flowjax_ood.distributions import Flow
from flowjax_ood.models.stacking import check_stack
from flowjax_ood.networks import GlowConvNet, Highway

ST_NETS = ("highway", "glow_convnet")


def first_half_changes(k: int, shape) -> masks.CouplingMask:
    """Channel-wise, the first half of the channels changed, for every k.

    No alternation: the 1x1 convolution before each coupling mixes the channels.
    """
    del k
    return masks.complementary(masks.channel_wise(shape), layout="channel")


def Glow(
    image_shape: tuple[int, int, int],
    *,
    scales: int = 2,
    steps: int = 16,
    mask: str | masks.MaskStrategy = first_half_changes,
    st_net: str | Callable[..., nn.Module] = "highway",
    width: int = 200,
    layers: int = 3,
    conv1x1: str = "dense",
    alpha: float = 0.05,
    stack: str = "chain",
    remat: str | None = None,
    reversible: bool = False,
    dtype: Any = None,
) -> Flow:
    """A Glow on images `[B, H, W, C]` in [0, 1).

    Each scale: squeeze, `steps` times (ActNorm, 1x1 convolution, affine coupling), and,
    but for the last, half of the channels factored out. Scale by `tanh`, as in RealNVP;
    no learned priors at the splits. Source: the paper, appendix C; Kingma and Dhariwal
    2018.

    * `mask`: by default the first half of the channels is changed in every step;
      "checkerboard", "cycle" and the others of `masks.STRATEGIES`, or a strategy of
      your own, run through their couplings from step to step;
    * `st_net`: "highway" (with `layers`), "glow_convnet", or a module factory;
    * `conv1x1`: "dense" (as the original) or "plu";
    * `stack`, `remat`, `reversible`: as in `RealNVP`.

    ActNorm is initialised from the batch given to `init`. Raises ValueError for images
    that cannot be halved `scales` times and for unknown names.
    """
    strategy = masks.strategy(mask)
    if scales < 1 or steps < 1:
        raise ValueError(
            f"Glow needs scales >= 1 and steps >= 1, got scales={scales}, steps={steps}"
        )
    if conv1x1 not in ("dense", "plu"):
        raise ValueError(f"unknown conv1x1 {conv1x1!r}; known: 'dense', 'plu'")
    check_stack(stack, remat, reversible)
    if callable(st_net):
        net = st_net
    elif st_net == "highway":
        net = partial(Highway, width=width, layers=layers, dtype=dtype)
    elif st_net == "glow_convnet":
        net = partial(GlowConvNet, width=width, dtype=dtype)
    else:
        raise ValueError(
            f"unknown st-network {st_net!r}; known: {', '.join(ST_NETS)}, or a module "
            "factory"
        )

    def step(seed, k):
        mix = InvertibleConv1x1(conv1x1, seed)
        return [ActNorm(), mix, AffineCoupling(net, strategy, k)]

    def scale(index):
        parts = [Squeeze()]
        if stack == "chain":
            for k in range(steps):
                parts += step(index * steps + k, k)
        else:
            block = Chain(step(index, 0))
            parts.append(Repeat(block, steps, stack, remat, reversible))
        if index < scales - 1:
            parts.append(FactorOut(Chain(scale(index + 1))))
        return parts

    flow = Flow(Chain([Logit(alpha), *scale(0)]), tuple(int(n) for n in image_shape))
    flow.latent_shape()
    return flow

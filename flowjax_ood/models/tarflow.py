"""TarFlow: an autoregressive flow of causal transformers over the patches of images."""

from collections.abc import Sequence

import flax.linen as nn

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors import (
    CausalAffine,
    Chain,
    ElementAffine,
    Inverse,
    Logit,
    Patches,
    Reverse,
)
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.models.real_nvp import Stacking, check_numbers
from flowjax_ood.networks import CausalTransformer
from flowjax_ood.precision import FLOAT32, Precision, as_precision


def TarFlow(
    image_shape: tuple[int, int, int],
    *,
    patch: int = 4,
    blocks: int = 6,
    width: int = 64,
    layers: int | Sequence[int] = 2,
    heads: int = 2,
    expansion: int = 4,
    scale: str = "exp",
    soft_clip: float | None = 4.0,
    first: str = "identity",
    solver: str = "cache",
    logit: bool = False,
    alpha: float = 0.05,
    stack: str = "scan",
    remat: str | None = None,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a TarFlow on images `[B, H, W, C]` in [0, 1).

    Pixels are moved to [-1, 1) and cut into patches, the tokens; then, `blocks` times,
    a causal transformer scales and shifts each token by what those before it say
    (`bijectors.CausalAffine`), and the tokens are reversed. Latents are images again.
    Densities take one pass, samples one step a token and block. A class is a one-hot
    row of `cond`, and a row of zeros is no class: train with some of them, and
    `models.guided_sample` can push samples towards a class. Source: Zhai et al. 2024.

    * `patch`: their side in pixels, which divides both sides of the images;
    * `width`, `layers`, `heads`, `expansion`: of the transformer of each block. A tuple
      of `layers` gives each block its own, the last being the first that a sample
      passes: (1, 1, 1, 1, 1, 4) is deep and shallow (Gu et al. 2025). Such blocks are
      not alike: give `stack="chain"`;
    * `scale`, `soft_clip`, `first`, `solver`: as in `CausalAffine`;
    * `logit`: the logit of pixels, with `alpha`, in place of the map to [-1, 1);
    * `stack`: "scan" or "unroll" for `Repeat`, with its `remat`; or a "chain";
    * `precision`: what matrix products compute in. bfloat16 is for training alone, and
      float16 is refused: it overflows in the exponential of scales;
    * `base` and `conditional_bijector`: as in `RealNVP`.

    Raises ValueError, before anything is computed, for what does not fit.
    """
    numbers = {"patch": patch, "blocks": blocks, "width": width, "heads": heads}
    shape = check_numbers("TarFlow", image_shape, alpha, numbers)
    depths = _depths(layers, blocks, stack)
    stacking = Stacking(stack, remat)

    def network(depth):
        bound = Bound(
            CausalTransformer,
            width=width,
            layers=depth,
            heads=heads,
            expansion=expansion,
            precision=as_precision(precision),
        )
        bound()  # refuses what does not fit
        return bound

    def block(k):
        net = network(depths[k])
        return [CausalAffine(net, scale, soft_clip, first, solver), Reverse()]

    to_tokens = Patches(shape, patch)
    bijector = Chain(
        [
            Logit(alpha) if logit else ElementAffine(2.0, -1.0),
            to_tokens,
            *stacking.run(block, blocks),
            Inverse(Patches(shape, patch)),
        ]
    )
    flow = Flow(bijector, shape, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()
    return flow


def _depths(layers: int | Sequence[int], blocks: int, stack: str) -> tuple[int, ...]:
    """Layers of each block; ValueError for as many as do not fit."""
    if isinstance(layers, int):
        return (whole_number("layers", layers, 1),) * blocks
    depths = tuple(whole_number("layers", depth, 1) for depth in layers)
    if len(depths) != blocks:
        raise ValueError(
            f"layers={depths} are of {len(depths)} blocks, and blocks={blocks}; give "
            "one number for each block, or one for all"
        )
    if len(set(depths)) > 1 and stack != "chain":
        raise ValueError(
            f"stack={stack!r} repeats one block, and layers={depths} are not alike; "
            "give stack='chain'"
        )
    return depths

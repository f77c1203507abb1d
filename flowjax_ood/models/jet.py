"""Jet: couplings between tokens and between their channels, by vision transformers."""

from collections.abc import Sequence

import flax.linen as nn

from flowjax_ood import masks
from flowjax_ood.bijectors import (
    Bijector,
    Chain,
    ElementAffine,
    Inverse,
    Patches,
    SigmoidCoupling,
)
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.models.real_nvp import Stacking, check_coverage, check_numbers
from flowjax_ood.networks import ViT
from flowjax_ood.precision import FLOAT32, Precision, as_precision


def Jet(
    image_shape: tuple[int, int, int],
    *,
    patch: int = 4,
    couplings: int = 10,
    width: int = 64,
    depth: int = 1,
    heads: int = 2,
    expansion: int = 4,
    kinds: Sequence[str] = masks.JET_KINDS,
    spatial: Sequence[str] = tuple(masks.JET_PLANES),
    seed: int = 0,
    scale: float = 2.0,
    stack: str = "scan",
    remat: str | None = None,
    reversible: bool = False,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a Jet on images `[B, H, W, C]` in [0, 1).

    Images are moved to [-1, 1) and cut into patches; couplings, and nothing else, go
    over these tokens; the latents are images again. The published flow of ImageNet 64
    has 32 couplings, width 512, depth 2 and 8 heads, a larger one 64 couplings and
    depth 5. Source: Kolesnikov et al. 2024, whose spatial couplings leave out a token
    of an odd number; these do not.

    * `patch`: side of a patch, which divides both sides of the image;
    * `couplings`, with `kinds`, `spatial` and `seed`: what each sees (`masks.jet`);
      kinds are taken in turn, again and again;
    * `width`, `depth`, `heads`, `expansion`: of each coupling's `networks.ViT`. A
      condition is added to every token;
    * `scale`: the bound of `SigmoidCoupling`;
    * `stack`: "scan" or "unroll" repeats one turn through the kinds (`Repeat`), with
      its `remat` and `reversible`, and goes on with what is left of `couplings`;
      "chain" is separate couplings. `bijectors.restack` converts between them;
    * `precision`, `base` and `conditional_bijector`: as in `RealNVP`.

    Raises ValueError, before anything is computed, for what does not fit, and for too
    few couplings to change every value.
    """
    numbers = {"patch": patch, "couplings": couplings, "width": width, "depth": depth}
    numbers |= {"heads": heads, "expansion": expansion}
    shape = check_numbers("Jet", image_shape, 0.0, numbers)
    stacking = Stacking(stack, remat, reversible)
    network = Bound(
        ViT,
        width=width,
        depth=depth,
        heads=heads,
        expansion=expansion,
        precision=as_precision(precision),
    )
    network()  # refuses what does not fit
    tokens = Patches(shape, patch).latent_shape(shape)
    grid = (shape[0] // patch, shape[1] // patch)
    strategy = masks.jet(kinds, spatial, seed, grid)
    check_coverage(strategy, couplings, tokens)

    def turn(number: int, length: int) -> list[Bijector]:
        first = number * len(kinds)
        return [
            SigmoidCoupling(network, strategy, first + k, scale) for k in range(length)
        ]

    turns, left = divmod(couplings, len(kinds))
    parts = stacking.run(lambda r: turn(r, len(kinds)), turns) if turns else []
    parts += turn(turns, left)
    cut, joined = Patches(shape, patch), Inverse(Patches(shape, patch))
    bijector = Chain([ElementAffine(2.0, -1.0), cut, *parts, joined])
    flow = Flow(bijector, shape, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()
    return flow

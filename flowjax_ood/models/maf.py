"""Masked autoregressive flows on vectors and images, and their inverses."""

from collections.abc import Sequence

import flax.linen as nn

from flowjax_ood.arguments import event_shape, real_number, whole_number
from flowjax_ood.bijectors import Chain, Inverse, Logit, MaskedAffine, MaskedSpline
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.networks import MADE
from flowjax_ood.precision import FLOAT32, Precision, as_precision

TRANSFORMS = ("affine", "spline")


def MAF(
    shape: int | tuple[int, ...],
    *,
    layers: int = 5,
    hidden: Sequence[int] = (1024,),
    orders: Sequence[str | int | tuple[int, ...]] = ("raster", "reversed"),
    transform: str = "affine",
    max_log_scale: float | None = 3.0,
    bins: int = 8,
    bound: float = 5.0,
    solver: str = "jacobi",
    alpha: float = 0.05,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build a masked autoregressive flow: densities in one pass, samples in many.

    Of vectors `[B, D]`, standardised, `shape` is D or (D,); of images `[B, H, W, C]` in
    [0, 1) it is (H, W, C), and a logit comes first. Source: Papamakarios et al. 2017,
    whose flows of images have 5 layers of 1,024 units.

    * `layers` with `orders`: layer k takes order k of `orders`, again and again
      (`bijectors.autoregressive_order`);
    * `hidden`: widths of each layer's MADE, at least D - 1, with a condition D;
    * `transform`: "affine", bounded by `max_log_scale` (`MaskedAffine`), or "spline"
      with `bins` and `bound` (`MaskedSpline`);
    * `solver`: "jacobi", or "sequential", through which samples have gradients;
    * `alpha`: of the logit of images;
    * `precision`, `base` and `conditional_bijector`: as in `RealNVP`.

    Raises ValueError, before anything is computed, for what does not fit.
    """
    return _flow(locals(), inverse=False)


def IAF(
    shape: int | tuple[int, ...],
    *,
    layers: int = 5,
    hidden: Sequence[int] = (1024,),
    orders: Sequence[str | int | tuple[int, ...]] = ("raster", "reversed"),
    transform: str = "affine",
    max_log_scale: float | None = 3.0,
    bins: int = 8,
    bound: float = 5.0,
    solver: str = "sequential",
    alpha: float = 0.05,
    precision: str | Precision = FLOAT32,
    base: nn.Module | None = None,
    conditional_bijector: bool = True,
) -> Flow:
    """Build an inverse autoregressive flow: samples in one pass, densities in many.

    As `MAF`, with every layer inverted. For posteriors, whose samples are asked for:
    to train one on data takes as many passes a step as an event has values, and to
    differentiate that needs the solver "sequential". Source: Kingma et al. 2016.
    """
    return _flow(locals(), inverse=True)


def _flow(given: dict, inverse: bool) -> Flow:
    size = given["shape"]
    size = event_shape("shape", (size,) if isinstance(size, int) else size)
    if len(size) not in (1, 3):
        raise ValueError(f"shape must be D, (D,) or (H, W, C), got {given['shape']!r}")
    layers = whole_number("layers", given["layers"], 1)
    if not 0 <= real_number("alpha", given["alpha"]) < 0.5:
        raise ValueError(f"alpha must be at least 0 and below 0.5: {given['alpha']}")
    if not (orders := tuple(given["orders"])):
        raise ValueError("orders names no order; give at least one, such as 'raster'")
    precision = as_precision(given["precision"])
    network = Bound(MADE, hidden=tuple(given["hidden"]), precision=precision)
    if (transform := given["transform"]) not in TRANSFORMS:
        raise ValueError(
            f"unknown transform {transform!r}; known: {', '.join(TRANSFORMS)}"
        )

    def layer(k):
        common = {"order": orders[k % len(orders)], "solver": given["solver"]}
        if transform == "affine":
            bound = given["max_log_scale"]
            of = MaskedAffine(network, max_log_scale=bound, **common)
        else:
            of = MaskedSpline(
                network, bins=given["bins"], bound=given["bound"], **common
            )
        return Inverse(of) if inverse else of

    first = [Logit(given["alpha"])] if len(size) == 3 else []
    bijector = Chain([*first, *(layer(k) for k in range(layers))])
    base = given["base"] or StandardNormal()
    flow = Flow(bijector, size, base, given["conditional_bijector"])
    flow.latent_shape()
    return flow

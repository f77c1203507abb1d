"""Masked autoregressive flows on vectors and images, and their inverses."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn

from flowjax_ood.arguments import event_shape, real_number, whole_number
from flowjax_ood.bijectors import (
    Autoregressive,
    Chain,
    Inverse,
    Logit,
    MaskedAffine,
    MaskedSpline,
)
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.networks import MADE
from flowjax_ood.precision import FLOAT32, Precision, as_precision


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
    size = event_shape("shape", (shape,) if isinstance(shape, int) else shape)
    if len(size) not in (1, 3):
        raise ValueError(f"shape must be D, (D,) or (H, W, C), got {shape!r}")
    whole_number("layers", layers, 1)
    if not 0 <= real_number("alpha", alpha) < 0.5:
        raise ValueError(f"alpha must be at least 0 and below 0.5: {alpha}")
    if not (orders := tuple(orders)):
        raise ValueError("orders names no order; give at least one, such as 'raster'")
    precision = as_precision(precision)
    network = Bound(MADE, hidden=tuple(hidden), precision=precision)
    if transform == "affine":
        layer: Callable[..., Autoregressive] = partial(
            MaskedAffine, network, max_log_scale=max_log_scale
        )
    elif transform == "spline":
        layer = partial(MaskedSpline, network, bins=bins, bound=bound)
    else:
        raise ValueError(f"unknown transform {transform!r}; known: affine, spline")
    first = [Logit(alpha)] if len(size) == 3 else []
    in_turn = (orders[k % len(orders)] for k in range(layers))
    bijector = Chain([*first, *(layer(order=o, solver=solver) for o in in_turn)])
    flow = Flow(bijector, size, base or StandardNormal(), conditional_bijector)
    flow.latent_shape()
    return flow


def IAF(
    shape: int | tuple[int, ...], *, solver: str = "sequential", **arguments
) -> Flow:
    """Build an inverse autoregressive flow: samples in one pass, densities in many.

    As `MAF`, with its arguments, and every layer inverted. For posteriors, whose
    samples are asked for: to train one on data takes as many passes a step as an event
    has values, and to differentiate that needs the solver "sequential". Source: Kingma
    et al. 2016.
    """
    flow = MAF(shape, solver=solver, **arguments)
    layers = [
        Inverse(each) if isinstance(each, Autoregressive) else each
        for each in flow.bijector.bijectors
    ]
    return flow.clone(bijector=Chain(layers))

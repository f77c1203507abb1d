"""Which map the couplings of an image flow apply: affine, a spline or a mixture."""

from collections.abc import Callable

from flowjax_ood.bijectors import (
    AffineCoupling,
    Coupling,
    MixtureCoupling,
    SplineCoupling,
)

COUPLINGS = ("affine", "spline", "mixture")
# of mixtures: without it, a Glow of them diverged on FashionMNIST within 300 steps, at
# learning rates of 1e-3 and of 5e-4 after a warm-up of 400 steps
TAIL_WEIGHT = 1e-3


def coupling_layers(
    coupling: str,
    *,
    max_log_scale: float | None,
    bins: int,
    bound: float,
    components: int,
) -> Callable[..., Coupling]:
    """Make couplings by name: a function of `(st_net, mask strategy, index)`.

    * "affine": scale and shift, |log-scale| at most `max_log_scale`
      (`AffineCoupling`);
    * "spline": monotonic splines of `bins` bins on `[-bound, bound]`
      (`SplineCoupling`);
    * "mixture": the distribution functions of `components` logistics, and a scale and
      shift (`MixtureCoupling`), whose log-scale is at most 2 unless `max_log_scale`
      says otherwise, and whose tails are bounded by `TAIL_WEIGHT`.

    Raises ValueError for another name, and for `max_log_scale` with splines.
    """
    if coupling == "affine":
        return lambda net, mask, k: AffineCoupling(net, mask, k, max_log_scale)
    if coupling == "spline":
        if max_log_scale is not None:
            raise ValueError(
                f"max_log_scale is {max_log_scale}, and splines have no log-scale: "
                "their slopes at the bound are 1; leave it None"
            )
        return lambda net, mask, k: SplineCoupling(net, mask, k, bins, bound)
    if coupling == "mixture":
        largest = (
            MixtureCoupling.max_log_scale if max_log_scale is None else max_log_scale
        )
        return lambda net, mask, k: MixtureCoupling(
            *(net, mask, k, components),
            max_log_scale=largest,
            tail_weight=TAIL_WEIGHT,
        )
    raise ValueError(f"unknown coupling {coupling!r}; known: {', '.join(COUPLINGS)}")

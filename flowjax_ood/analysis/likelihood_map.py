"""log p(x) of an event, value by value: where a flow finds an image unlikely."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.analysis.positions import latent_sources, placed_leaves
from flowjax_ood.bijectors import (
    ActNorm,
    Bijector,
    CausalAffine,
    Chain,
    ChannelPermutation,
    Coupling,
    ElementAffine,
    Householder,
    InvertibleConv1x1,
    Patches,
    Reshape,
    Reverse,
    ShiftScaleCoupling,
    Squeeze,
    leaves,
    unstacked,
)
from flowjax_ood.distributions import Flow
from flowjax_ood.distributions.base_densities import HALF_LOG_2PI

# layers that have one log-determinant for all events; a chain that is a leaf is empty
CONSTANT = (
    Chain,
    *(ActNorm, ChannelPermutation, ElementAffine, Householder, InvertibleConv1x1),
    *(Patches, Reshape, Reverse, Squeeze),
)
# of log p(x): sums over an event's values differ by no more in float32
ROUNDING = 1e-4


class MapParts(NamedTuple):
    """Maps `[B, *event_shape]`, but for what all events share, and log p(x) `[B]`."""

    values: Any
    log_prob: Any


def likelihood_map(flow: Flow, variables: dict, x: jax.Array, cond=None) -> np.ndarray:
    """`log N(z_j) + sum_l log (dz_j / dx_j)_l` at the value that z_j comes from.

    Float64 `[B, *event_shape]`, nats. l counts the layers that map each value by
    itself, given others: couplings, autoregressive and elementwise maps. What others
    add is the same for all events, and spread evenly: the sum of a map is log p(x).
    Behind a 1x1 convolution, a value is a mixture of the channels of its place.

    Of one autoregressive layer, entry j is `log p(x_j | x_i before j)`. Of more, and of
    couplings, entries depend on how the flow divides the work among its layers: compare
    a map with those of other events, not one entry with another.

    `x`, and `cond` for a conditional flow: as for `Flow.log_prob`. Raises ValueError
    for a base other than N(0, I), for layers that move values to no place of an event
    (`positions`), and for those whose log-determinant is no sum over values, or, where
    there are several events, is not that of the slopes that they sow.
    """
    return completed(jax.device_get(_compiled(flow, variables, x, cond)))


def map_parts(flow: Flow, variables: dict, x: jax.Array, cond=None) -> MapParts:
    """The part of `likelihood_map` that JAX computes; pure, for use inside `jit`."""
    shape = tuple(flow.event_shape)
    sources = {p.path: p.source for p in placed_leaves(flow.bijector, shape)}
    latents: Any = latent_sources(flow.bijector, shape)
    parts, sown = flow.apply(
        variables, x, cond, method="log_prob_scales", mutable=["intermediates"]
    )
    total = jnp.zeros((len(x), flow.dims), parts.logdet.dtype)
    for z, source in zip(parts.latents, leaves(latents), strict=True):
        log_normal = -0.5 * z * z - HALF_LOG_2PI
        total = _added(total, log_normal, np.asarray(source))
    sown = sown.get("intermediates", {}).get("bijector", {})
    for path, bijector, node in unstacked(flow.bijector, sown):
        if not isinstance(bijector, CONSTANT):
            total = _added(total, *_log_slope(bijector, node, sources[path]))
    return MapParts(total.reshape(-1, *shape), (parts.log_pz + parts.logdet).sum(1))


def completed(parts: MapParts) -> np.ndarray:
    """Maps whose sums are log p(x), float64, of parts in NumPy.

    Raises ValueError where what is left of log p(x) varies over events; of one event,
    that is not seen.
    """
    values, log_prob = (np.asarray(part, np.float64) for part in parts)
    flat = values.reshape(len(values), -1)
    rest = log_prob - flat.sum(1)
    finite = np.isfinite(rest)
    if finite.any():
        allowed = ROUNDING * (1 + np.abs(flat[finite]).sum(1))
        # beside the event that rounding says least of
        best = int(allowed.argmin())
        away = np.abs(rest[finite] - rest[finite][best])
        if (away > allowed + allowed[best]).any():
            raise ValueError(
                "the log-slopes that layers sow do not sum to their log-determinants: "
                f"what is left of log p(x) varies by {away.max():.3g} nats over "
                "events, where it should be the same for all"
            )
    return (flat + rest[:, None] / flat.shape[1]).reshape(values.shape)


_compiled = partial(jax.jit, static_argnums=0)(map_parts)


def _added(total: jax.Array, values: jax.Array, source: np.ndarray) -> jax.Array:
    """Add values `[B, *source.shape]` at the places that they come from."""
    return total.at[:, source.ravel()].add(values.reshape(len(total), -1))


def _log_slope(bijector: Bijector, sown: dict, source: np.ndarray):
    """`(log dz/dx of each value that is mapped, where these come from)`."""
    affine = isinstance(bijector, ShiftScaleCoupling | CausalAffine)
    (slope,) = sown.get("s" if affine else "log_slope", (None,))
    if slope is None:
        raise ValueError(
            f"the log-determinant of {type(bijector).__name__} is no sum over values "
            "that it sows as log_slope: likelihood maps are of couplings, "
            "autoregressive and elementwise maps"
        )
    if not isinstance(bijector, Coupling):
        return slope, source
    mask = bijector.coupling_mask(source.shape)
    if mask.layout == "spatial":
        return jnp.where(mask.changed, slope, 0), source
    return slope, source[..., mask.changed_channels]

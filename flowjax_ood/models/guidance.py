"""Classifier-free guidance: samples pushed towards their condition."""

from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp

from flowjax_ood.bijectors import Bijector, CausalAffine, Guidance, walk
from flowjax_ood.bijectors.repeat import Repeat
from flowjax_ood.distributions import Flow

# fields of every Flax module, which `clone` treats by itself
OWN_OF_FLAX = ("parent", "name")


def guided_sample(
    flow: Flow,
    variables: dict,
    key: jax.Array,
    cond: jax.Array,
    weight: float,
    what: str = "ab",
    annealed: bool = False,
    temperature: float = 1.0,
) -> jax.Array:
    """Draw one event for each row of `cond`, pushed towards it: `[B, *event_shape]`.

    In every `CausalAffine`, `a <- a + weight (a - a_0)`, and b alike, where a_0 is what
    no condition gives, a row of zeros (`bijectors.Guidance` has `what` and `annealed`).
    Weight 0 is `flow.sample` bit for bit. The flow should have been trained with zeros
    in place of some rows (`drop_condition`). Source: Zhai et al. 2024, section 3.4.

    Raises ValueError for a `cond` that is None, a weight below 0, and a flow without a
    `CausalAffine` that is given the condition.
    """
    guidance = Guidance(weight, what, annealed)
    if cond is None:
        raise ValueError(
            "guidance needs cond, the condition to push towards; without one, draw "
            "plain samples: flow.apply(variables, key, num, method='sample')"
        )
    if not (flow.conditional_bijector and _has_causal_affine(flow.bijector)):
        raise ValueError(
            "guidance is of flows with a CausalAffine that is given the condition, such"
            " as models.TarFlow; this flow has none"
        )
    if weight:
        flow = flow.clone(bijector=_guided(flow.bijector, guidance))
    samples: Any = flow.apply(
        variables, key, len(cond), temperature, cond=cond, method="sample"
    )
    return samples


def drop_condition(key: jax.Array, cond: jax.Array, rate: float = 0.1) -> jax.Array:
    """Zeros in place of each row of `cond` `[B, K]`, with probability `rate`.

    To train on, so that a flow knows the density without a condition, too. Raises
    ValueError for a rate outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in [0, 1], got {rate}")
    kept = jax.random.bernoulli(key, 1 - rate, (len(cond), 1))
    return jnp.where(kept, cond, 0)


def _has_causal_affine(bijector: Bijector) -> bool:
    """Tell whether it has a CausalAffine, at whatever depth."""
    return any(
        _has_causal_affine(leaf.block)
        if isinstance(leaf, Repeat)
        else isinstance(leaf, CausalAffine)
        for _, leaf in walk(bijector)
    )


def _guided(bijector: Bijector, guidance: Guidance) -> Bijector:
    """Put that guidance into every CausalAffine of the bijector."""
    if isinstance(bijector, CausalAffine):
        return bijector.clone(guidance=guidance)

    def inner(value):
        if isinstance(value, Bijector):
            return _guided(value, guidance)
        if isinstance(value, tuple) and any(isinstance(v, Bijector) for v in value):
            return tuple(inner(v) for v in value)
        return value

    own = [field.name for field in fields(bijector) if field.name not in OWN_OF_FLAX]
    return bijector.clone(**{name: inner(getattr(bijector, name)) for name in own})

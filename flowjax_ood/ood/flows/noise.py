"""Noise that depends on a flow's seed and on the image alone."""

import zlib

import jax
import jax.numpy as jnp

from flowjax_ood.data.dequantize import example_keys
from flowjax_ood.ood.flows.outputs import FlowInputs, ScoredFlow


def normal_noise(
    scored: ScoredFlow, inputs: FlowInputs, purpose: str, like: jax.Array
) -> jax.Array:
    """Draw `N(0, I)` in the shape of `like [B, ...]`; pure, for use inside `jit`.

    Equal images have equal noise in every batch. Noise of other purposes, and that of
    dequantisation, is independent.
    """
    key = jax.random.key(scored.seed, impl="threefry2x32")
    key = jax.random.fold_in(key, zlib.crc32(purpose.encode()))
    draws = example_keys(key, inputs.keys[:, 0])
    keys = jax.vmap(jax.random.fold_in)(draws, inputs.keys[:, 1])

    def one(key):
        return jax.random.normal(key, like.shape[1:], jnp.float32)

    return jax.vmap(one)(keys).astype(like.dtype)

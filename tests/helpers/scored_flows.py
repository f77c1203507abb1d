"""Small flows and images that tests of flows' scores share."""

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood import ood
from flowjax_ood.bijectors import (
    Chain,
    FactorOut,
    InvertibleConv1x1,
    Logit,
    Squeeze,
)
from flowjax_ood.distributions import Flow
from flowjax_ood.models import RealNVP, TabularRealNVP


def gaussian_flow(dims: int = 5) -> ood.ScoredFlow:
    """N(0, I) on vectors: the identity."""
    return ood.ScoredFlow(Flow(Chain([]), (dims,)), {})


def identity_flow(channels: int = 1) -> ood.ScoredFlow:
    """N(0, I) on 8 x 8 images: the latents are the pixels."""
    return ood.ScoredFlow(Flow(Chain([]), (8, 8, channels)), {})


def normal_outputs(z: np.ndarray, seed: int = 0) -> ood.FlowOutputs:
    """What the identity gives for latents z, without a pass; images have other bytes.

    z `[N, 8, 8, C]`, or `[N, D]` of vectors, which are their own events.
    """
    rng = np.random.default_rng(seed)
    events = rng.integers(0, 256, z.shape, np.uint8) if z.ndim == 4 else z
    flat = z.reshape(len(z), -1)
    log_pz = -0.5 * (flat**2 + np.log(2 * np.pi)).sum(1, keepdims=True)
    return ood.FlowOutputs(events, log_pz, np.zeros_like(log_pz), (z,))


def shaped_outputs(network: ood.ScoredFlow, x: np.ndarray, seed: int = 0):
    """Smooth latents with noise in the shapes of a flow's, without a pass."""
    rng, parts = np.random.default_rng(seed), np.zeros((len(x), 2), np.float32)
    shapes = network.flow.latent_shape()
    z = tuple(rng.normal(size=(len(x), *shape)).cumsum(1) for shape in shapes)
    return ood.FlowOutputs(x, parts, parts, z)


def two_scales() -> ood.ScoredFlow:
    """A RealNVP of 8 x 8 images without parameters: its shapes alone."""
    return ood.ScoredFlow(RealNVP((8, 8, 1), scales=2, couplings=3), {})


def drawn(flow, seed: int = 0) -> ood.ScoredFlow:
    """A flow with noise on all that starts at zero: no volume is preserved."""
    x = jnp.full((2, *flow.event_shape), 0.5)
    variables = jax.jit(flow.init)(jax.random.key(seed), x)
    rng = np.random.default_rng(seed)
    noisy = jax.tree.map(
        lambda a: np.asarray(a + 0.1 * rng.normal(size=a.shape), np.float32), variables
    )
    return ood.ScoredFlow(flow, noisy, seed=seed)


def image_flow(scales: int = 2, seed: int = 0, channels: int = 1) -> ood.ScoredFlow:
    """A RealNVP of 8 x 8 images."""
    shape, options = (8, 8, channels), {"width": 3, "blocks": 1, "norm": "none"}
    return drawn(RealNVP(shape, scales=scales, couplings=3, **options), seed)


def simple_flow(seed: int = 0) -> ood.ScoredFlow:
    """Two scales of 8 x 8 images without networks: it compiles in a moment.

    Logits, mixed linearly within blocks of 2 x 2 pixels.
    """
    inner = FactorOut(Chain([InvertibleConv1x1()]))
    parts = [Logit(), Squeeze(), InvertibleConv1x1(), inner]
    return drawn(Flow(Chain(parts), (8, 8, 1)), seed)


def vector_flow(dims: int = 5, seed: int = 0) -> ood.ScoredFlow:
    """A RealNVP of vectors."""
    return drawn(TabularRealNVP(dims, couplings=2, width=8), seed)


def images(count: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Smooth images with noise, uint8 `[N, 8, 8, channels]`."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(8) * rng.uniform(0.2, 1.5, (count, 1)))
    smooth = 0.5 + 0.35 * waves[:, :, None, None] * waves[:, None, :, None]
    noise = 0.05 * rng.normal(size=(count, 8, 8, channels))
    return (255 * np.clip(smooth + noise, 0, 1)).astype(np.uint8)

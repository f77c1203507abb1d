"""Invertible 1x1 convolution: a learned linear map of the channels."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from flowjax_ood.bijectors.base import Bijector, logdet_dtype

MODES = ("dense", "plu")


def mix_channels(x: jax.Array, weight: jax.Array) -> jax.Array:
    """`z[..., o] = sum_i weight[o, i] x[..., i]`, in full precision everywhere."""
    return jnp.einsum("oi,...i->...o", weight, x, precision=lax.Precision.HIGHEST)


def dense_logdet(weight: jax.Array) -> jax.Array:
    """`log |det weight|`: O(C^3)."""
    return jnp.linalg.slogdet(weight)[1]


def plu_weight(permutation, sign, lower, upper, log_scale) -> jax.Array:
    """`W = P L (U + diag(sign * exp(log_scale)))`, with `log |det W| = sum log_scale`.

    `lower` and `upper` `[C, C]` enter by their strict triangles, L has a unit diagonal;
    row i of `P M` is row `permutation[i]` of M. Source: Kingma and Dhariwal 2018,
    section 3.2.
    """
    lower, upper = _triangles(sign, lower, upper, log_scale)
    product = jnp.matmul(lower, upper, precision=lax.Precision.HIGHEST)
    return product[permutation]


def plu_inverse_weight(permutation, sign, lower, upper, log_scale) -> jax.Array:
    """The inverse of `plu_weight` by two triangular solves."""
    lower, upper = _triangles(sign, lower, upper, log_scale)
    identity = jnp.eye(lower.shape[0], dtype=lower.dtype)
    unmixed = solve_triangular(lower, identity, lower=True, unit_diagonal=True)
    return solve_triangular(upper, unmixed)[:, permutation]


def _triangles(sign, lower, upper, log_scale):
    identity = jnp.eye(lower.shape[0], dtype=lower.dtype)
    diagonal = jnp.diag(sign.astype(lower.dtype) * jnp.exp(log_scale))
    return jnp.tril(lower, -1) + identity, jnp.triu(upper, 1) + diagonal


class InvertibleConv1x1(Bijector):
    """`z[..., o] = sum_i W[o, i] x[..., i]`, W a rotation at the start.

    `logdet = positions * log |det W|`. `mode="dense"` holds W itself (the paper's code;
    O(C^3) for the determinant); `mode="plu"` holds its triangular factors, O(C). These
    are drawn by the key given to `init`, while `seed` fixes the permutation and the
    signs, which are not learned: give each layer a seed of its own.
    """

    mode: str = "dense"
    seed: int = 0

    def forward(self, x, cond=None):
        weight, logdet = self._weight(x.shape[-1], inverse=False)
        return mix_channels(x, weight.astype(x.dtype)), _per_event(x, logdet)

    def inverse(self, z, cond=None):
        weight, logdet = self._weight(z.shape[-1], inverse=True)
        return mix_channels(z, weight.astype(z.dtype)), -_per_event(z, logdet)

    @nn.compact
    def _weight(self, channels: int, inverse: bool):
        """`(W or its inverse, log |det W|)`."""
        if self.mode == "dense":
            init = nn.initializers.orthogonal()
            weight = self.param("weight", init, (channels, channels), jnp.float32)
            logdet = dense_logdet(weight)
            return (jnp.linalg.inv(weight) if inverse else weight), logdet
        if self.mode != "plu":
            raise ValueError(f"unknown mode {self.mode!r}; known: {', '.join(MODES)}")
        permutation, sign = pivots(channels, self.seed)
        square = jnp.zeros((channels, channels), jnp.float32)
        start = {"lower": square, "upper": square, "log_scale": square[0]}
        if self.is_initializing():
            # one draw for all three, which belong together
            drawn = _rotation_factors(self.make_rng("params"), sign)
            start = dict(zip(start, drawn, strict=True))
        lower, upper, log_scale = (
            self.param(name, lambda key, v=v: v) for name, v in start.items()
        )
        build = plu_inverse_weight if inverse else plu_weight
        weight = build(permutation, jnp.asarray(sign), lower, upper, log_scale)
        return weight, jnp.sum(log_scale)


def pivots(channels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What `seed` fixes of a "plu" convolution: `(permutation [C], signs [C])`.

    Those of a random rotation's factors. Checkpoints rely on them.
    """
    from scipy.linalg import lu

    normal = np.random.default_rng((channels, seed)).standard_normal
    rotation, _ = np.linalg.qr(normal((channels, channels)))
    p, _, upper = lu(rotation)
    return p.argmax(axis=1), np.sign(np.diag(upper))


def _rotation_factors(key, sign: np.ndarray):
    """`(lower, upper, log_scale)` of a rotation, for any permutation and these signs.

    Where `P L U` is a rotation, so is `L U D` with signs D, and any order of its rows.
    """
    channels = len(sign)
    rotation = nn.initializers.orthogonal()(key, (channels, channels), jnp.float32)
    _, lower, upper = jax.scipy.linalg.lu(rotation)
    diagonal = jnp.diag(upper)
    # its columns by D: the diagonal gets the signs asked for
    upper = upper * (jnp.sign(diagonal) * sign.astype(np.float32))[None]
    return jnp.tril(lower, -1), jnp.triu(upper, 1), jnp.log(jnp.abs(diagonal))


def _per_event(x: jax.Array, logdet: jax.Array) -> jax.Array:
    total = math.prod(x.shape[1:-1]) * logdet.astype(logdet_dtype(x))
    return jnp.broadcast_to(total, x.shape[:1])

"""Products of reflections: rotations and reflections that are learned."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.arguments import whole_number
from flowjax_ood.bijectors.base import Bijector, zero_logdet


def reflect(x: jax.Array, vectors: jax.Array, reverse: bool = False) -> jax.Array:
    """`z = H_k ... H_1 x` on the last axis, `H = I - 2 v v' / |v|^2`.

    `vectors` `[k, C]` are the v, whose lengths do not matter. `reverse` applies them in
    the other order, which undoes it. Costs O(k C) an event and position.
    """

    def one(x, v):
        v = v.astype(x.dtype)
        along = jnp.einsum("...c,c->...", x, v, precision=lax.Precision.HIGHEST)
        return x - (2 / jnp.sum(v * v)) * along[..., None] * v, None

    return lax.scan(one, x, vectors, reverse=reverse)[0]


class Householder(Bijector):
    """`z = H_k ... H_1 x` on the last axis: orthogonal, so its log-determinant is 0.

    Parameters `v [k, C]`, drawn in pairs that are equal: the identity at the start,
    with an odd `reflections` one reflection. `reflections=C` reaches every orthogonal
    matrix whose determinant is `(-1)^C`. Source: Tomczak and Welling 2016.
    """

    reflections: int = 2

    def __post_init__(self):
        whole_number("reflections", self.reflections, 1)
        super().__post_init__()

    def forward(self, x, cond=None):
        return reflect(x, self._vectors(x.shape[-1])), zero_logdet(x)

    def inverse(self, z, cond=None):
        vectors = self._vectors(z.shape[-1])
        return reflect(z, vectors, reverse=True), zero_logdet(z)

    @nn.compact
    def _vectors(self, channels: int) -> jax.Array:
        def pairs(key, shape, dtype):
            half = -(-shape[0] // 2)
            drawn = jax.random.normal(key, (half, shape[1]), dtype)
            return jnp.repeat(drawn, 2, axis=0)[: shape[0]]

        return self.param("v", pairs, (self.reflections, channels), jnp.float32)

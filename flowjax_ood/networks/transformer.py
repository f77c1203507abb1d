"""Pre-norm transformer blocks on tokens, at once or token by token with a cache.

Weights are nested dictionaries and the blocks pure functions of them, so that loops of
JAX, in which Flax modules cannot be called, may take a token at a time.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.arguments import real_number, whole_number
from flowjax_ood.networks.layers import uniform_fan_in
from flowjax_ood.precision import FLOAT32, Precision, at_least_float32

# keys and values `[B, T, heads, C / heads]` of the tokens so far
Cache = tuple[jax.Array, jax.Array]


def check_heads(heads: int, width: int) -> None:
    """Raise ValueError for a width that the heads do not divide."""
    if width % heads:
        raise ValueError(
            f"heads={heads} do not divide width={width}; take a multiple, for every "
            "head takes as many numbers of a token"
        )


def check_not_float16(precision: Precision, name: str) -> None:
    """Raise ValueError for float16, whose numbers end at 65,504."""
    if precision.compute is not None and jnp.dtype(precision.compute) == jnp.float16:
        raise ValueError(
            f"{name} overflows in float16, which ends at 65,504; compute in bfloat16 "
            "or float32"
        )


def linear_weights(key, inputs: int, outputs: int) -> dict:
    """Draw `{"kernel": [I, O], "bias": [O]}` as torch does."""
    init = uniform_fan_in(inputs)
    kernel_key, bias_key = jax.random.split(key)
    kernel = init(kernel_key, (inputs, outputs), jnp.float32)
    return {"kernel": kernel, "bias": init(bias_key, (outputs,), jnp.float32)}


def norm_weights(width: int) -> dict:
    """`{"scale": [C], "bias": [C]}` of a norm that changes nothing but the spread."""
    ones = jnp.ones(width, jnp.float32)
    return {"scale": ones, "bias": jnp.zeros_like(ones)}


def block_weights(key, width: int, expansion: int) -> dict:
    """Draw the weights of one block on tokens of `width` numbers."""
    keys = jax.random.split(key, 4)

    return {
        "attention_norm": norm_weights(width),
        "query_key_value": linear_weights(keys[0], width, 3 * width),
        "attended": linear_weights(keys[1], width, width),
        "hidden_norm": norm_weights(width),
        "hidden": linear_weights(keys[2], width, expansion * width),
        "out": linear_weights(keys[3], expansion * width, width),
    }


def like(x: jax.Array, row: jax.Array) -> jax.Array:
    """`row [C]` with the axes of `x [..., C]`, so that no rank is promoted."""
    return row.reshape((1,) * (x.ndim - 1) + row.shape)


def linear(weights: dict, x: jax.Array, precision: Precision) -> jax.Array:
    """`x W + b` on the last axis, W at `precision` and b in the dtype of x."""
    product = jnp.matmul(
        *precision.cast(x, weights["kernel"]), precision=precision.multiply
    )
    return product.astype(x.dtype) + like(x, weights["bias"]).astype(x.dtype)


def layer_norm(weights: dict, x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """`(x - mean) / std * scale + bias` over the last axis, in float32 or wider."""
    wide = at_least_float32(x)
    wide = wide - jnp.mean(wide, -1, keepdims=True)
    variance = jnp.mean(wide**2, -1, keepdims=True)
    y = wide * lax.rsqrt(variance + epsilon)
    scale, bias = like(x, weights["scale"]), like(x, weights["bias"])
    return (y * scale + bias).astype(x.dtype)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    seen: jax.Array | None = None,
    precision: Precision = FLOAT32,
) -> jax.Array:
    """`softmax(q k' / sqrt(d)) v` in each head: `[B, Q, heads, d]`.

    `query` is `[B, Q, heads, d]`, `key` and `value` `[B, T, heads, d]`; `seen`
    `[Q, T]` says which keys a query sees, None all. Products are taken at `precision`,
    the softmax in float32 or wider. What is not seen has weight 0 exactly.
    """
    dtype = jnp.promote_types(query.dtype, jnp.float32)
    query = query / math.sqrt(query.shape[-1])
    q, k, v = precision.cast(query, key, value)
    multiply = precision.multiply
    logits = jnp.einsum("bqhd,bthd->bhqt", q, k, precision=multiply).astype(dtype)
    if seen is not None:
        # -inf would give a row that sees nothing a gradient of NaN
        logits = jnp.where(seen, logits, jnp.finfo(dtype).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    y = jnp.einsum("bhqt,bthd->bqhd", weights, v, precision=multiply)
    return y.astype(query.dtype)


def transformer_block(
    weights: dict,
    h: jax.Array,
    heads: int,
    causal: bool = False,
    precision: Precision = FLOAT32,
) -> jax.Array:
    """`h += attention(norm(h))`, then `h += W_2 gelu(W_1 norm(h))`: `[B, T, C]`.

    With `causal`, token i sees the tokens up to i alone.
    """
    query, key, value = _query_key_value(weights, h, heads, precision)
    seen = jnp.tri(h.shape[1], dtype=bool) if causal else None
    return _outputs(weights, h, attend(query, key, value, seen, precision), precision)


def transformer_step(
    weights: dict,
    h: jax.Array,
    cache: Cache,
    index: jax.Array | int,
    heads: int,
    precision: Precision = FLOAT32,
) -> tuple[jax.Array, Cache]:
    """Row `index` of the causal `transformer_block`, and the cache with it in.

    `h` is that token's `[B, C]`; the cache holds the tokens before it.
    """
    query, *own = _query_key_value(weights, h[:, None], heads, precision)
    key, value = (
        lax.dynamic_update_slice_in_dim(kept, new.astype(kept.dtype), index, axis=1)
        for kept, new in zip(cache, own, strict=True)
    )
    seen = jnp.arange(key.shape[1])[None] <= index
    attended = attend(query, key, value, seen, precision)
    return _outputs(weights, h[:, None], attended, precision)[:, 0], (key, value)


def _query_key_value(weights, h, heads, precision):
    normed = layer_norm(weights["attention_norm"], h)
    together = linear(weights["query_key_value"], normed, precision)
    return (
        part.reshape(*h.shape[:2], heads, -1)
        for part in jnp.split(together, 3, axis=-1)
    )


def _outputs(weights, h, attended, precision):
    attended = attended.reshape(h.shape)
    h = h + linear(weights["attended"], attended, precision)
    hidden = linear(weights["hidden"], layer_norm(weights["hidden_norm"], h), precision)
    return h + linear(weights["out"], nn.gelu(hidden, approximate=False), precision)


class TokenNetwork(NamedTuple):
    """A network on T tokens as pure functions, whole and token by token.

    * `outputs(x [B, T, C])`: its outputs `[B, T, features]`;
    * `start(B, dtype)`: the cache before the first token, where it is causal;
    * `step(cache, x_i [B, C], i)`: row i of the outputs, `[B, features]`, and the cache
      with token i in it. The steps have to go through i = 0, 1, ... in turn.
    """

    outputs: Callable
    start: Callable
    step: Callable


class Transformer(nn.Module):
    """Tokens `[B, T, width]` to such tokens, through pre-norm transformer blocks.

    * `layers`: number of blocks, each of `heads` heads, and `expansion * width` hidden
      units with GELU;
    * `causal`: token i sees the tokens up to i alone; otherwise each sees all, and
      without `positions`, permuting the tokens permutes the outputs;
    * `positions`: a learned code is added to each place; this is the standard deviation
      it starts with. None adds none;
    * `precision`: what matrix products compute in. Norms, softmax and the sums along
      the tokens' way are float32 anyway.

    Linear maps start as torch starts them. Raises ValueError for a width that the heads
    do not divide. Source: Vaswani et al. 2017; pre-norm of Xiong et al. 2020.
    """

    layers: int
    heads: int = 2
    expansion: int = 4
    causal: bool = False
    positions: float | None = None
    precision: Precision = FLOAT32

    def __post_init__(self):
        whole_number("layers", self.layers, 1)
        whole_number("heads", self.heads, 1)
        whole_number("expansion", self.expansion, 1)
        if self.positions is not None and not real_number("positions", self.positions):
            raise ValueError(
                "positions must not be 0: codes that start so are all alike; give "
                "None for no positions"
            )
        super().__post_init__()

    @nn.compact
    def on(self, tokens: int, width: int) -> TokenNetwork:
        """The blocks as pure functions of `tokens` tokens of `width` numbers."""
        check_heads(self.heads, width)
        weights = [
            self.param(f"layer_{number}", block_weights, width, self.expansion)
            for number in range(self.layers)
        ]
        code = None
        if self.positions is not None:
            start = nn.initializers.normal(self.positions)
            code = self.param("positions", start, (tokens, width), jnp.float32)
        return blocks_on(
            weights, tokens, width, self.heads, self.causal, code, self.precision
        )

    def __call__(self, h: jax.Array) -> jax.Array:
        if h.ndim != 3:
            raise ValueError(f"Transformer takes tokens [B, T, C], got shape {h.shape}")
        return self.on(*h.shape[1:]).outputs(h)


def blocks_on(
    weights: Sequence[dict],
    tokens: int,
    width: int,
    heads: int,
    causal: bool,
    positions: jax.Array | None,
    precision: Precision,
) -> TokenNetwork:
    """Blocks of those weights as one `TokenNetwork`; `positions` `[T, width]`."""

    def outputs(h):
        h = h if positions is None else h + positions[None]
        for each in weights:
            h = transformer_block(each, h, heads, causal, precision)
        return h

    def start(batch, dtype):
        if not causal:
            raise ValueError(
                "a network that is not causal has no outputs token by token"
            )
        empty = jnp.zeros((batch, tokens, heads, width // heads), dtype)
        return tuple((empty, empty) for _ in weights)

    def step(cache, h, index):
        if positions is not None:
            h = h + lax.dynamic_index_in_dim(positions, index)
        kept = []
        for each, own in zip(weights, cache, strict=True):
            h, own = transformer_step(each, h, own, index, heads, precision)
            kept.append(own)
        return h, tuple(kept)

    return TokenNetwork(outputs, start, step)

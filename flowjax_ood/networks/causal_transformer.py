"""The conditioner of TarFlow: a causal transformer from tokens to numbers."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.arguments import whole_number
from flowjax_ood.networks.layers import check_condition
from flowjax_ood.networks.transformer import (
    TokenNetwork,
    Transformer,
    check_heads,
    check_not_float16,
    linear,
    linear_weights,
)
from flowjax_ood.precision import FLOAT32, Precision

# of position codes and of the linear map of a condition, at the start
SMALL = 0.01


class CausalTransformer(nn.Module):
    """`W_out blocks(x W_in + P + cond W_c)`, of which row i sees the tokens up to i.

    P is a learned code of each place. W_out and its bias start at zero. `width` is that
    of the tokens on their way; the other arguments are those of `Transformer`. `cond`
    `[B, K]` is added to every token, so that a row of zeros is no condition.

    The network of `bijectors.CausalAffine`. Raises ValueError for a width that the
    heads do not divide, and for float16, which overflows in the exponential of scales.
    Source: Zhai et al. 2024, section 3.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    expansion: int = 4
    precision: Precision = FLOAT32

    def __post_init__(self):
        for name in ("width", "layers", "heads", "expansion"):
            whole_number(name, getattr(self, name), 1)
        check_heads(self.heads, self.width)
        check_not_float16(self.precision, "CausalTransformer")
        super().__post_init__()

    @nn.compact
    def conditioner(
        self, tokens: int, channels: int, features: int, cond=None
    ) -> TokenNetwork:
        """The network as pure functions of `tokens` tokens `[B, T, channels]`.

        Its outputs are `[B, T, features]`; `cond` `[B, K]` is in it.
        """
        into = self.param("in", linear_weights, channels, self.width)
        blocks = Transformer(
            self.layers,
            self.heads,
            self.expansion,
            causal=True,
            positions=SMALL,
            precision=self.precision,
            name="blocks",
        ).on(tokens, self.width)
        out = self.param("out", _zero_weights, self.width, features)
        shift = self._condition(cond)

        def embedded(x):
            h = linear(into, x, self.precision)
            if shift is None:
                return h
            return h + (shift if x.ndim == 2 else shift[:, None]).astype(h.dtype)

        def outputs(x):
            return linear(out, blocks.outputs(embedded(x)), self.precision)

        def step(cache, x, index):
            h, cache = blocks.step(cache, embedded(x), index)
            return linear(out, h, self.precision), cache

        return TokenNetwork(outputs, blocks.start, step)

    def _condition(self, cond) -> jax.Array | None:
        """What the condition adds to every token: `[B, width]`."""
        check_condition(self, cond, "cond_kernel")
        if cond is None:
            return None
        start = nn.initializers.normal(SMALL)
        shape = (cond.shape[1], self.width)
        kernel = self.param("cond_kernel", start, shape, jnp.float32)
        return jnp.matmul(cond, kernel, precision=self.precision.multiply)

    def __call__(self, x, features: int, cond=None):
        if x.ndim != 3:
            raise ValueError(
                f"CausalTransformer takes tokens [B, T, C], got shape {x.shape}"
            )
        _, tokens, channels = x.shape
        return self.conditioner(tokens, channels, features, cond).outputs(x)


def _zero_weights(key, inputs: int, outputs: int) -> dict:
    del key
    zeros = jnp.zeros((inputs, outputs), jnp.float32)
    return {"kernel": zeros, "bias": jnp.zeros_like(zeros[0])}

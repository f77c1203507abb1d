"""The st-network for tokens: a vision transformer."""

import math
from functools import partial

import flax.linen as nn

from flowjax_ood.arguments import whole_number
from flowjax_ood.networks.layers import Dense, add_condition
from flowjax_ood.networks.transformer import (
    Transformer,
    check_heads,
    check_not_float16,
    layer_norm,
    norm_weights,
)
from flowjax_ood.precision import FLOAT32, Precision


class ViT(nn.Module):
    """`Linear, + positions, transformer block * depth, LayerNorm, Linear` on tokens.

    Tokens `[B, T, C]` become `[B, T, features]`; each sees all others. The last layer
    starts at zero. `cond` `[B, K]` is added to every token, through a layer of its own.

    * `width` of each token inside, a multiple of `heads`;
    * `depth`: number of blocks, with `expansion * width` hidden units;
    * `zero_init`: False starts the last layer as the others;
    * `precision`: what matrix products compute in. Norms, softmax and sums along the
      way are float32 or wider.

    A position code is learned for each of the T tokens, from N(0, 1/width). Raises
    ValueError for other inputs, for a width that the heads do not divide, and for
    float16, whose range is too small for a flow. Source: Dosovitskiy et al. 2021; as in
    Kolesnikov et al. 2024, section 3.
    """

    width: int = 64
    depth: int = 1
    heads: int = 2
    expansion: int = 4
    zero_init: bool = True
    precision: Precision = FLOAT32

    def __post_init__(self):
        for name in ("width", "depth", "heads", "expansion"):
            whole_number(name, getattr(self, name), 1)
        check_heads(self.heads, self.width)
        check_not_float16(self.precision, "ViT")
        super().__post_init__()

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        if x.ndim != 3:
            raise ValueError(
                f"the ViT st-network takes tokens [B, T, C], got shape {x.shape}; cut "
                "images into tokens by bijectors.Patches"
            )
        dense = partial(Dense, precision=self.precision)
        h = dense(self.width, name="in_dense")(x).astype(x.dtype)
        h = add_condition(self, h, cond)
        h = Transformer(
            self.depth,
            self.heads,
            self.expansion,
            positions=1 / math.sqrt(self.width),
            precision=self.precision,
            name="blocks",
        )(h)
        norm = self.param("norm", lambda key: norm_weights(self.width))
        return dense(features, self.zero_init, name="out_dense")(layer_norm(norm, h))

"""Gated convolutions and attention: residual blocks of images, each behind a gate.

Source: Ho et al. 2019, appendix; after van den Oord et al. 2016 and Salimans et al.
2017.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.arguments import real_number, whole_number
from flowjax_ood.networks.layers import Conv, add_condition
from flowjax_ood.networks.transformer import attend, check_heads
from flowjax_ood.precision import FLOAT32, Precision


def concat_elu(h: jax.Array) -> jax.Array:
    """`elu(concat(h, -h))`: twice the channels, and a gradient on both sides of 0."""
    return nn.elu(jnp.concatenate([h, -h], axis=-1))


def gated(h: jax.Array) -> jax.Array:
    """`a * sigmoid(b)` of the two halves of the channels."""
    a, b = jnp.split(h, 2, axis=-1)
    return a * nn.sigmoid(b)


# the gated part of a block starts small
SMALL = nn.initializers.variance_scaling(0.01, "fan_in", "normal")


class GatedConv(nn.Module):
    """`h + gated(conv(f(conv3x3(f(h)) + conv1x1(f(cond)))))`, f being `concat_elu`.

    * `kernel`: of the second convolution, whose output starts small;
    * `dropout`: before it; acts exactly when the random stream `dropout` is given;
    * `cond [B, H, W, K]`, or None.
    """

    kernel: int = 3
    dropout: float = 0.0
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, h, cond=None):
        width = h.shape[-1]
        conv = partial(Conv, precision=self.precision)
        r = conv(width, name="in_conv")(concat_elu(h))
        if cond is not None:
            r = r + conv(width, 1, name="cond")(concat_elu(cond.astype(r.dtype)))
        r = dropped(self, concat_elu(r))
        last = conv(2 * width, self.kernel, kernel_init=SMALL, name="out_conv")
        return h + gated(last(r))


def dropped(net: nn.Module, h: jax.Array) -> jax.Array:
    """Dropout of `net.dropout`, where there is any and its random stream is given."""
    if not net.dropout:
        return h
    return nn.Dropout(net.dropout)(h, deterministic=not net.has_rng("dropout"))


class GatedConvNet(nn.Module):
    """Images `[B, H, W, C]` to `[B, H, W, width]`: a convolution and gated ones.

    `blocks` of `GatedConv`; the context of learned dequantisation noise. Computes at
    `precision`. Raises ValueError for a width or number of blocks under 1.
    """

    width: int = 32
    blocks: int = 3
    precision: Precision = FLOAT32

    def __post_init__(self):
        whole_number("width", self.width, 1)
        whole_number("blocks", self.blocks, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, x):
        h = Conv(self.width, precision=self.precision, name="in_conv")(x)
        for i in range(self.blocks):
            h = GatedConv(precision=self.precision, name=f"block_{i}")(h)
        return h


class AttentionBlock(nn.Module):
    """`h + gated(linear(attention(h + positions)))` over all pixels of an image.

    `heads` of scaled dot products; the output starts small. Softmax is float32.
    """

    heads: int = 4
    dropout: float = 0.0
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, h, positions):
        batch, rows, columns, width = h.shape
        conv = partial(Conv, kernel_size=1, precision=self.precision)
        r = conv(3 * width, name="query_key_value")(h + positions[None].astype(h.dtype))
        heads = r.reshape(batch, rows * columns, 3, self.heads, -1)
        query, key, value = (heads[:, :, i] for i in range(3))
        r = attend(query, key, value, precision=self.precision).reshape(h.shape)
        last = conv(2 * width, kernel_init=SMALL, name="out_conv")
        return h + gated(last(dropped(self, r)))


class GatedAttention(nn.Module):
    """The st-network of Flow++: `blocks` of a gated convolution and gated attention.

    Each followed by a layer norm; a convolution before and one after, which starts at
    zero. Called as `net(x [B, H, W, C], features, cond)`, returns `[B, H, W,
    features]`. The position code is learned, one for all blocks: the network is of
    images of one size. Attention takes memory in the square of the number of pixels.

    * `width`: channels, a multiple of `heads`;
    * `dropout`: in every block; acts exactly when the random stream `dropout` is given;
    * `cond`: `[B, K]`, a bias after the first convolution, or an image `[B, H, W, K]`,
      which every gated convolution sees.

    Raises ValueError for a width that the heads do not divide, a dropout outside [0, 1)
    and numbers under 1. Source: Ho et al. 2019, section 3.3 and appendix.
    """

    width: int = 96
    heads: int = 4
    blocks: int = 10
    dropout: float = 0.0
    precision: Precision = FLOAT32

    def __post_init__(self):
        for name in ("width", "heads", "blocks"):
            whole_number(name, getattr(self, name), 1)
        check_heads(self.heads, self.width)
        if not 0 <= real_number("dropout", self.dropout) < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        if x.ndim != 4:
            raise ValueError(
                f"GatedAttention takes images [B, H, W, C], got shape {x.shape}"
            )
        of_pixels = cond is not None and cond.ndim == 4
        h = Conv(self.width, precision=self.precision, name="in_conv")(x)
        h = add_condition(self, h, None if of_pixels else cond)
        start = nn.initializers.normal(0.01)
        code = self.param("positions", start, h.shape[1:], jnp.float32)
        for i in range(self.blocks):
            conv = GatedConv(1, self.dropout, self.precision, name=f"conv_{i}")
            h = self._normed(conv(h, cond if of_pixels else None), f"conv_norm_{i}")
            attention = AttentionBlock(
                self.heads, self.dropout, self.precision, name=f"attention_{i}"
            )
            h = self._normed(attention(h, code), f"attention_norm_{i}")
        last = partial(Conv, features, precision=self.precision, name="out_conv")
        return last(kernel_init=nn.initializers.zeros)(h)

    def _normed(self, h, name):
        return nn.LayerNorm(epsilon=1e-5, name=name)(h).astype(h.dtype)

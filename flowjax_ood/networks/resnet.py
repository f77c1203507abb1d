"""The paper's residual st-network, and its variant with a bottleneck.

Called as `net(x [B, H, W, C], features, cond)`, returns `[B, H, W, features]`. Source:
the paper's code (`st_type="resnet"` and `"resnet_ae"`), after Dinh et al. 2017.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from flowjax_ood.networks.batch_norm import BatchNorm
from flowjax_ood.networks.layers import Dense, WNConv, add_condition
from flowjax_ood.precision import FLOAT32, Precision


class ResidualBlock(nn.Module):
    """`h + conv(relu(norm(conv(relu(norm(h))))))`, weight-normed 3x3 convolutions."""

    norm: str = "batch"
    precision: Precision = FLOAT32
    norm_group: int = 0

    @nn.compact
    def __call__(self, h):
        norm = partial(normalise, norm=self.norm, group=self.norm_group)
        conv = partial(WNConv, h.shape[-1], precision=self.precision)
        r = nn.relu(norm(h, name="in_norm"))
        r = conv(use_bias=False, name="in_conv")(r)
        r = nn.relu(norm(r, name="out_norm"))
        return h + conv(name="out_conv")(r)


class ResNet(nn.Module):
    """Residual st-network: stem on (x, -x), residual blocks, summed 1x1 skips, head.

    * `norm`: "batch" as in the paper, or "none" (then use `zero_init`);
    * `norm_group`: 0 for batch norm over the whole batch, or how many examples are
      normalised together (`BatchNorm`);
    * `input_gain`: factor after the input norm; the paper doubles under checkerboard
      masks, where half of the input is zero. Without norm it is not applied;
    * `skip`: sum of 1x1 convolutions of every block's output, as in the paper;
    * `zero_init`: the head starts at zero, so the coupling starts as the identity;
    * `cond [B, K]`: enters as a bias after the stem.
    """

    width: int = 64
    blocks: int = 6
    norm: str = "batch"
    input_gain: float = 1.0
    skip: bool = True
    zero_init: bool = False
    precision: Precision = FLOAT32
    norm_group: int = 0

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        h = stem(self, x, cond)
        block = partial(ResidualBlock, self.norm, self.precision, self.norm_group)
        pointwise = partial(WNConv, self.width, 1, precision=self.precision)
        if self.skip:
            total = pointwise(name="in_skip")(h)
        for i in range(self.blocks):
            h = block(name=f"block_{i}")(h)
            if self.skip:
                total = total + pointwise(name=f"skip_{i}")(h)
        h = total if self.skip else h
        return head(self, h, features)


class ResNetAE(nn.Module):
    """The residual st-network through `latent_dim` numbers, without skip sums.

    After block `blocks // 2 - 1` the activations of the whole image pass a linear map
    to `latent_dim` values and back: the Jacobian of (s, t) with respect to the input
    has at most that rank. Source: the paper, section 7 (bottleneck).
    """

    width: int = 64
    blocks: int = 6
    latent_dim: int = 100
    norm: str = "batch"
    input_gain: float = 1.0
    zero_init: bool = False
    precision: Precision = FLOAT32
    norm_group: int = 0

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        if self.blocks < 2:
            raise ValueError(
                f"resnet_ae puts its bottleneck between blocks: it needs at least 2, "
                f"got blocks={self.blocks}"
            )
        block = partial(ResidualBlock, self.norm, self.precision, self.norm_group)
        dense = partial(Dense, precision=self.precision)
        h = stem(self, x, cond)
        for i in range(self.blocks):
            h = block(name=f"block_{i}")(h)
            if i == self.blocks // 2 - 1:
                shape = h.shape
                flat = h.reshape(shape[0], -1)
                code = dense(self.latent_dim, name="encode")(flat)
                h = dense(flat.shape[-1], name="decode")(code).reshape(shape)
        return head(self, h, features)


def stem(net: ResNet | ResNetAE, x, cond):
    """`conv(relu(concat(h, -h)))` of the normed input, plus `cond` as a bias."""
    (x,) = net.precision.cast(x)
    if net.norm == "batch":
        x = normalise(x, net.norm, "in_norm", net.norm_group) * net.input_gain
    h = nn.relu(jnp.concatenate([x, -x], axis=-1))
    h = WNConv(net.width, precision=net.precision, name="in_conv")(h)
    return add_condition(net, h, cond)


def head(net: ResNet | ResNetAE, h, features: int):
    """`conv1x1(relu(norm(h)))`: `[B, H, W, features]`."""
    h = nn.relu(normalise(h, net.norm, "out_norm", net.norm_group))
    conv = partial(WNConv, zero_init=net.zero_init, precision=net.precision)
    return conv(features, 1, name="out_conv")(h)


def normalise(h, norm: str, name: str, group: int = 0):
    """Apply batch norm or nothing; called inside a compact method."""
    if norm == "batch":
        return BatchNorm(group=group, name=name)(h)
    if norm == "none":
        return h
    raise ValueError(f"unknown norm {norm!r}; known: 'batch', 'none'")

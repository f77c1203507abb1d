"""The st-network for conditions that are images, such as views of a volume."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from flowjax_ood.arguments import whole_number
from flowjax_ood.networks.layers import Conv
from flowjax_ood.precision import FLOAT32, Precision


class ImageConditioned(nn.Module):
    """`conv(relu(conv(... concat(x, cond))))`: pixel (i, j) sees cond around (i, j).

    `layers` convolutions of `width` channels, the first of `kernel` x `kernel` pixels,
    others of 3x3, each followed by ReLU; and a last one, 3x3, which starts at zero: so
    does a coupling as the identity. A pixel sees `kernel // 2 + layers` pixels to each
    side. Called as
    `net(x [B, h, w, C], features, cond [B, h, w, K])`; x None convolves cond alone,
    as `ConditionAffine` asks for. Returns `[B, h, w, features]`.

    Raises ValueError where cond is None, not `[B, h, w, K]`, or not of the rows and
    sides of x, for `width` or `layers` under 1, and for an even `kernel`.
    """

    width: int = 32
    layers: int = 2
    kernel: int = 3
    precision: Precision = FLOAT32

    def __post_init__(self):
        whole_number("width", self.width, 1)
        whole_number("layers", self.layers, 1)
        if whole_number("kernel", self.kernel, 1) % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        _check(x, cond)
        conv = partial(Conv, precision=self.precision)
        h = cond
        if x is not None:
            h = jnp.concatenate([x, cond.astype(x.dtype)], axis=-1)
        for i in range(self.layers):
            side = 3 if i else self.kernel
            h = nn.relu(conv(self.width, side, name=f"conv_{i}")(h))
        return conv(features, kernel_init=nn.initializers.zeros, name="out_conv")(h)


def _check(x, cond) -> None:
    if cond is None:
        raise ValueError(
            "ImageConditioned needs cond [B, h, w, K], got None; give it to every "
            "method of the flow"
        )
    sides = "h, w" if x is None else f"{x.shape[1]}, {x.shape[2]}"
    if cond.ndim != 4 or (x is not None and cond.shape[:3] != x.shape[:3]):
        remedy = (
            "; for vectors [B, K] use another st-network, such as GlowConvNet"
            if cond.ndim == 2
            else ""
        )
        raise ValueError(
            f"ImageConditioned needs cond [B, {sides}, K], a condition for each pixel, "
            f"got shape {cond.shape}{remedy}"
        )

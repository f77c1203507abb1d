"""ResNet-34 for small colour images: the residual network without its early pooling."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.networks.batch_norm import BatchNorm
from flowjax_ood.networks.convolution import convolve
from flowjax_ood.networks.layers import Dense, normalise_pixels, uniform_fan_in
from flowjax_ood.precision import FLOAT32, Precision, at_least_float32


class ResNet34(nn.Module):
    """`logits = W mean(layer4(layer3(layer2(layer1(stem(x)))))) + b`.

    Images are float `[B, H, W, C]` in [0, 1]; `mean` and `std` per channel, those of
    CIFAR-10 by default, normalise them here. The stem keeps their size, and every layer
    after the first halves it. `blocks` and `widths` say how many blocks a layer has and
    how wide they are. Batch norm uses its running statistics unless the collection
    `batch_stats` is mutable; then those of the whole batch, or, with `norm_group`, of
    groups of so many examples (`networks.BatchNorm`).

    21,282,122 parameters for three channels. Source: He et al. 2016, in the form for
    32x32 images that is usual for CIFAR-10 (3x3 stem, no max-pooling, projections where
    the shape changes).
    """

    classes: int = 10
    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, ...] = (0.2023, 0.1994, 0.2010)
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    precision: Precision = FLOAT32
    norm_group: int = 0

    # not annotated: facts about the class, not fields
    penultimate = "pooled"

    @property
    def layers(self) -> tuple[str, ...]:
        """The taps that FSSD uses, from shallow to deep."""
        return ("stem", *(f"layer{k}" for k in range(1, len(self.widths) + 1)))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Class scores before the softmax, `[B, classes]`, float32."""
        return self.taps(x)[1]

    @nn.compact
    def taps(
        self, x: jax.Array, replaced: dict[str, jax.Array] | None = None
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """`({layer: activations}, logits)`, of one pass.

        At 32x32: stem and layer1 `[B, 32, 32, 64]`, layer2 `[B, 16, 16, 128]`, layer3
        `[B, 8, 8, 256]`, layer4 `[B, 4, 4, 512]`, each after its ReLU, and pooled `[B,
        512]`, the mean over positions. Those in `replaced` have these activations
        instead, which all above them see. Raises ValueError where `blocks` and `widths`
        differ in length.
        """
        put = replaced or {}
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                "blocks and widths need one number for each layer, got "
                f"{self.blocks} and {self.widths}"
            )
        h = normalise_pixels(x, self.mean, self.std)
        (h,) = self.precision.cast(h)
        stem = ConvNorm(
            self.widths[0],
            precision=self.precision,
            norm_group=self.norm_group,
            name="stem",
        )
        h = put.get("stem", nn.relu(stem(h)))
        taps = {"stem": h}
        for k, (blocks, width) in enumerate(zip(self.blocks, self.widths), start=1):
            for i in range(blocks):
                stride = 2 if i == 0 and k > 1 else 1
                block = BasicBlock(
                    width,
                    stride,
                    self.precision,
                    self.norm_group,
                    name=f"layer{k}_{i}",
                )
                h = block(h)
            h = taps[f"layer{k}"] = put.get(f"layer{k}", h)
        pooled = jnp.mean(at_least_float32(h), (1, 2))
        taps["pooled"] = put.get("pooled", pooled)
        last = Dense(self.classes, precision=self.precision, name="classifier")
        logits = last(taps["pooled"])
        return taps, at_least_float32(logits)

    @nn.nowrap
    def head(self, variables: dict) -> tuple[jax.Array, jax.Array]:
        """`(W [512, classes], b [classes])` with `logits = pooled W + b`."""
        last = variables["params"]["classifier"]
        return last["kernel"], last["bias"]


class BasicBlock(nn.Module):
    """`relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))`, 3x3 convolutions.

    The shortcut is x, or a normed 1x1 convolution where the shape changes.
    """

    width: int
    stride: int = 1
    precision: Precision = FLOAT32
    norm_group: int = 0

    @nn.compact
    def __call__(self, x):
        norm = partial(
            ConvNorm, self.width, precision=self.precision, norm_group=self.norm_group
        )
        first = norm(stride=self.stride, name="first")
        second = norm(name="second")
        h = second(nn.relu(first(x)))
        if x.shape != h.shape:
            x = norm(kernel_size=1, stride=self.stride, name="skip")(x)
        return nn.relu(x + h)


class ConvNorm(nn.Module):
    """Convolution without a bias, then batch norm; zero padding of `kernel_size // 2`.

    Parameters `kernel [k, k, I, O]`, which starts as torch's does, U(+-1/sqrt(fan_in)),
    and those of `norm`.
    """

    width: int
    kernel_size: int = 3
    stride: int = 1
    precision: Precision = FLOAT32
    norm_group: int = 0

    @nn.compact
    def __call__(self, x):
        k = self.kernel_size
        shape = (k, k, x.shape[-1], self.width)
        init = uniform_fan_in(k * k * x.shape[-1])
        x, kernel = self.precision.cast(
            x, self.param("kernel", init, shape, jnp.float32)
        )
        # "SAME" with a stride would pad the end alone: torch pads both sides
        padding = "SAME" if self.stride == 1 else ((k // 2, k // 2),) * 2
        y = convolve(x, kernel, self.precision, self.stride, padding)
        return BatchNorm(group=self.norm_group, name="norm")(y)

"""The small convolutional classifier of grey images that FSSD was shown with."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowjax_ood.networks.layers import Conv, Dense, normalise_pixels
from flowjax_ood.precision import FLOAT32, Precision, at_least_float32


class LeNet(nn.Module):
    """`logits = fc2(relu(fc1(pool(relu(conv2(relu(conv1(x))))))))`, convolutions valid.

    Images are float `[B, H, W, C]` in [0, 1], H and W at least 6; `mean` and `std` per
    channel, those of FashionMNIST by default, normalise them here. `dropout`: the rates
    after pooling, of whole channels, and after fc1. It acts exactly when a `dropout`
    stream is given.

    1,199,882 parameters at 28x28x1. Source: PyTorch's MNIST example, as trained in
    Huang et al. 2021; it is not LeCun's LeNet-5.
    """

    classes: int = 10
    mean: tuple[float, ...] = (0.2860,)
    std: tuple[float, ...] = (0.3530,)
    dropout: tuple[float, float] = (0.25, 0.5)
    precision: Precision = FLOAT32

    # not annotated: facts about the class, not fields
    layers = ("conv1", "conv2", "fc1", "fc2")
    penultimate = "fc1"

    def setup(self):
        precision = self.precision
        self.conv1 = Conv(32, 3, padding="VALID", precision=precision)
        # Winograd's algorithm pads; what it adds at the border is cut off again
        self.cropped = precision.convolution == "winograd"
        padding = "SAME" if self.cropped else "VALID"
        self.conv2 = Conv(64, 3, padding=padding, precision=precision)
        self.fc1 = Dense(128, precision=precision)
        self.fc2 = Dense(self.classes, precision=precision)
        channels, units = self.dropout
        self.drop_channels = nn.Dropout(channels, broadcast_dims=(1, 2))
        self.drop_units = nn.Dropout(units)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Class scores before the softmax, `[B, classes]`, float32."""
        return self.taps(x)[1]

    def taps(
        self, x: jax.Array, replaced: dict[str, jax.Array] | None = None
    ) -> tuple[dict[str, jax.Array], jax.Array]:
        """`({layer: activations}, logits)`, of one pass.

        At 28x28: conv1 `[B, 26, 26, 32]`, conv2 `[B, 24, 24, 64]` (before pooling), fc1
        `[B, 128]`, each after its ReLU and before dropout, and fc2, the logits. Layers
        in `replaced` have those activations instead, which all above them see.
        """
        put, off = replaced or {}, not self.has_rng("dropout")
        x = normalise_pixels(x, self.mean, self.std)
        if min(x.shape[1:3]) < 6:
            raise ValueError(
                f"LeNet needs images of at least 6x6 pixels, got shape {x.shape}"
            )
        conv1 = put.get("conv1", nn.relu(self.conv1(x)))
        conv2 = self.conv2(conv1)
        conv2 = nn.relu(conv2[:, 1:-1, 1:-1] if self.cropped else conv2)
        conv2 = put.get("conv2", conv2)
        h = self.drop_channels(max_pool(conv2), deterministic=off)
        fc1 = put.get("fc1", nn.relu(self.fc1(h.reshape(h.shape[0], -1))))
        logits = self.fc2(self.drop_units(fc1, deterministic=off))
        logits = at_least_float32(logits)
        logits = put.get("fc2", logits)
        return {"conv1": conv1, "conv2": conv2, "fc1": fc1, "fc2": logits}, logits

    @nn.nowrap
    def head(self, variables: dict) -> tuple[jax.Array, jax.Array]:
        """`(W [128, classes], b [classes])`: without dropout, `logits = fc1 W + b`."""
        last = variables["params"]["fc2"]
        return last["kernel"], last["bias"]


def max_pool(x: jax.Array) -> jax.Array:
    """Take the largest of 2x2 pixels: `[B, H, W, C]` -> `[B, H // 2, W // 2, C]`.

    As maxima of strided slices: XLA's own window maximum has a gradient
    (select-and-scatter) that is slow on CPU. Of equal pixels, the gradient is shared.
    """
    rows, columns = (size // 2 * 2 for size in x.shape[1:3])
    corners = [x[:, i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)]
    upper, lower = jnp.maximum(*corners[:2]), jnp.maximum(*corners[2:])
    return jnp.maximum(upper, lower)

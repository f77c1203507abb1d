"""The st-networks of Glow: highway layers, and plain convolutions.

Called as `net(x [B, H, W, C], features, cond)`, return `[B, H, W, features]`. Their
output starts at zero, so the coupling starts as the identity. Source: the paper's code
(`st_type="highway"`, `"glow_convnet"`).
"""

from functools import partial

import flax.linen as nn
import jax

from flowjax_ood.networks.layers import Conv, add_condition
from flowjax_ood.precision import FLOAT32, Precision

# both of Glow's st-networks start from small weights and end in zeros
HIDDEN = nn.initializers.normal(0.05)
LAST = nn.initializers.zeros


class Highway(nn.Module):
    """`h <- g * conv(h) + (1 - g) * h` with `g = sigmoid(conv(h))`, `layers` times.

    No other non-linearity and no normalisation. `cond [B, K]` enters as a bias after
    the first convolution.
    """

    width: int = 200
    layers: int = 3
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        conv = partial(Conv, precision=self.precision)
        h = conv(self.width, kernel_init=HIDDEN, name="in_conv")(x)
        h = add_condition(self, h, cond)
        for i in range(self.layers):
            gate = conv(self.width, kernel_init=HIDDEN, name=f"gate_{i}")(h)
            new = conv(self.width, kernel_init=HIDDEN, name=f"conv_{i}")(h)
            gate = jax.nn.sigmoid(gate)
            h = gate * new + (1 - gate) * h
        return conv(features, 1, kernel_init=LAST, name="out_conv")(h)


class GlowConvNet(nn.Module):
    """conv 3x3, ReLU, conv 1x1, ReLU, conv 3x3: the st-network of Glow's own paper.

    `cond [B, K]` enters as a bias after the first convolution.
    """

    width: int = 512
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x, features: int, cond=None):
        conv = partial(Conv, precision=self.precision)
        h = conv(self.width, kernel_init=HIDDEN, name="in_conv")(x)
        h = jax.nn.relu(add_condition(self, h, cond))
        h = jax.nn.relu(conv(self.width, 1, kernel_init=HIDDEN, name="mid_conv")(h))
        return conv(features, 3, kernel_init=LAST, name="out_conv")(h)

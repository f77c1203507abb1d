"""2-d convolution, by the algorithm that a `Precision` asks for."""

import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.networks.winograd import TAPS, winograd
from flowjax_ood.precision import Precision

# with fewer channels the transforms cost more than they save
LEAST_CHANNELS = 32


def convolve(
    x: jax.Array, kernel: jax.Array, precision: Precision, stride=1, padding="SAME"
) -> jax.Array:
    """`[B, H, W, I]` with `[h, w, I, O]`, both in the dtype to compute in.

    With `precision.convolution == "winograd"`, float32 convolutions that are large
    enough become matrix products; all others are XLA's own in any case.
    """
    if precision.convolution == "winograd" and x.dtype == jnp.float32:
        *size, inputs, outputs = kernel.shape
        plain = stride == 1 and padding == "SAME"
        if plain and size == [1, 1]:
            return jnp.matmul(x, kernel[0, 0], precision=precision.multiply)
        large = min(inputs, outputs) >= LEAST_CHANNELS
        if plain and size == [TAPS, TAPS] and large:
            return winograd(x, kernel)
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision.multiply,
    )

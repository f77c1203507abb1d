"""How exactly st-networks compute: one object that says it, and its three names.

Precision is a matter of st-networks alone. Parameters, flow variables,
log-determinants and densities are float32 whatever is chosen here, and a coupling is
undone exactly: both directions ask its st-network the same question. Along a chain the
questions differ by rounding of float32, which now and then tips a bfloat16 number: the
inverse of a flow in bfloat16 is that of float32 almost everywhere, not everywhere.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

CONVOLUTIONS = ("direct", "winograd", "products")


@dataclass(frozen=True)
class Precision:
    """What st-networks compute in.

    * `compute`: dtype of their activations and kernels; None is the input's, float32
      in a flow. Statistics of batch norm and norms of weight norm are float32 anyway;
    * `multiply`: what their convolutions and matrix products may do to float32 numbers
      (`jax.lax.Precision`). CPUs multiply exactly whatever it says;
    * `convolution`: "direct" is XLA's own; "winograd" turns large float32 convolutions
      of 3x3 into a quarter of the multiplications, as matrix products. Faster on CPU,
      about as accurate (`networks.winograd`), slower to compile. "products" is XLA's
      own forward, and faster on CPU in gradients (`networks.convolution`).

    Raises ValueError for another `convolution`.
    """

    compute: Any = None
    multiply: lax.Precision = lax.Precision.HIGHEST
    convolution: str = "direct"

    def __post_init__(self):
        if self.convolution not in CONVOLUTIONS:
            raise ValueError(
                f"unknown convolution {self.convolution!r}; known: "
                f"{', '.join(CONVOLUTIONS)}"
            )

    def cast(self, x: jax.Array, *others: jax.Array) -> tuple[jax.Array, ...]:
        """The arrays in the dtype of computation: `compute`, or else that of x."""
        dtype = self.compute or x.dtype
        return tuple(array.astype(dtype) for array in (x, *others))


# exact, and as reproducible as the backend: for likelihoods that are reported
FLOAT32 = Precision()
# float32 numbers, multiplied at an accelerator's speed: TF32 on NVIDIA GPUs (10 bits
# of mantissa instead of 23), three bfloat16 passes instead of six on TPUs
TENSORFLOAT32 = Precision(multiply=lax.Precision.HIGH)
# half the memory of activations, and one pass a product; 7 bits of mantissa
BFLOAT16 = Precision(jnp.bfloat16, lax.Precision.DEFAULT)

PRECISIONS = {
    "float32": FLOAT32,
    "tensorfloat32": TENSORFLOAT32,
    "bfloat16": BFLOAT16,
}


def at_least_float32(a: jax.Array) -> jax.Array:
    """The array as it is, or in float32 where it has fewer bits.

    Sums of bfloat16 would be rounded to three digits.
    """
    return a.astype(jnp.promote_types(a.dtype, jnp.float32))


def as_precision(precision: str | Precision) -> Precision:
    """The policy of that name, or the policy itself. Raises ValueError for others."""
    if isinstance(precision, Precision):
        return precision
    if isinstance(precision, str) and precision in PRECISIONS:
        return PRECISIONS[precision]
    raise ValueError(
        f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}, or a "
        "flowjax_ood.precision.Precision"
    )

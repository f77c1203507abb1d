"""How fast a compiled function is, and how fast this machine could be."""

import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from flowjax_ood.precision import Precision
from flowjax_ood.runtime.parallel import AXIS, Parallel


def time_round(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, one after another until `seconds` are over; at least one.

    Every call is waited for, so dispatch is part of its time.
    """
    times: list[float] = []
    began = time.perf_counter()
    while not times or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return times


def medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median of the seconds that `time_round` gave, of each round."""
    return [float(np.median(times)) for times in rounds]


def warm_up(call: Callable[[], object], calls: int = 2) -> None:
    """Run a few calls that do not count: the first ones allocate memory."""
    for _ in range(calls):
        jax.block_until_ready(call())


def measured_peak(
    parallel: Parallel, precision: Precision, seconds: float = 1.0
) -> dict[str, float]:
    """FLOP/s of a large matrix product and of a 3x3 convolution on all devices.

    Numbers and products are those of `precision`. The larger of the two is the peak
    that utilisation is stated against where none is given. Each device works on its own
    data; inputs and outputs stay on the device.
    """
    devices = len(parallel.devices)
    accelerator = parallel.devices[0].platform != "cpu"
    size, channels, batch = (8192, 256, 256) if accelerator else (1024, 64, 16)
    split = NamedSharding(parallel.mesh, PartitionSpec(AXIS))
    dtype, exactness = precision.compute or jnp.float32, precision.multiply

    def filled(shape):
        return jax.device_put(jnp.full(shape, 0.01, dtype), split)

    a = filled((devices, size, size))
    product = jax.jit(lambda a: jnp.einsum("dij,djk->dik", a, a, precision=exactness))
    x = filled((devices * batch, 32, 32, channels))
    kernel = jax.device_put(
        jnp.full((3, 3, channels, channels), 0.01, dtype), parallel.replicated
    )
    convolution = jax.jit(
        lambda x, k: jax.lax.conv_general_dilated(
            x,
            k,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=exactness,
        )
    )
    work = {
        "matmul": (lambda: product(a), 2 * devices * size**3),
        "convolution": (
            lambda: convolution(x, kernel),
            # taps outside the image are no work: 94 of 96 along each axis
            int(2 * devices * batch * 94**2 * channels**2),
        ),
    }
    peaks = {}
    for name, (call, flops) in work.items():
        warm_up(call)
        peaks[name] = flops / float(np.quantile(time_round(call, seconds), 0.1))
    return peaks

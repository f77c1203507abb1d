"""How fast a compiled function is, and how fast this machine could be."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from flowjax_ood.training.parallel import AXIS, Parallel


class Timing(NamedTuple):
    """Seconds a call: quantiles over all calls, and the median of each repeat."""

    p10: float
    p50: float
    p90: float
    repeats: list[float]


def time_calls(
    call: Callable[[], object], *, seconds: float, repeats: int, warm_up: int = 2
) -> Timing:
    """Time `call` for about `seconds` in each of `repeats` rounds.

    Every call is waited for, so dispatch is part of its time; the first `warm_up` calls
    are not counted.
    """
    for _ in range(warm_up):
        jax.block_until_ready(call())
    everything, medians = [], []
    for _ in range(repeats):
        times, began = [], time.perf_counter()
        while not times or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            jax.block_until_ready(call())
            times.append(time.perf_counter() - start)
        everything += times
        medians.append(float(np.median(times)))
    p10, p50, p90 = np.quantile(everything, [0.1, 0.5, 0.9])
    return Timing(float(p10), float(p50), float(p90), medians)


def measured_peak(parallel: Parallel, dtype, seconds: float = 1.0) -> dict[str, float]:
    """FLOP/s of a large matrix product and of a 3x3 convolution on all devices.

    The larger of the two is the peak that utilisation is stated against where none is
    given. Each device works on its own data; inputs and outputs stay on the device.
    """
    devices = len(parallel.devices)
    accelerator = parallel.devices[0].platform != "cpu"
    size, channels, batch = (8192, 256, 256) if accelerator else (1024, 64, 16)
    split = NamedSharding(parallel.mesh, PartitionSpec(AXIS))

    def filled(shape):
        return jax.device_put(jnp.full(shape, 0.01, dtype), split)

    a = filled((devices, size, size))
    product = jax.jit(lambda a: jnp.einsum("dij,djk->dik", a, a))
    x = filled((devices * batch, 32, 32, channels))
    kernel = jax.device_put(
        jnp.full((3, 3, channels, channels), 0.01, dtype), parallel.replicated
    )
    convolution = jax.jit(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
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
    return {
        name: flops / time_calls(call, seconds=seconds, repeats=1).p10
        for name, (call, flops) in work.items()
    }

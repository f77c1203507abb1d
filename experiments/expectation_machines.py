"""Machines that a training step can be expected on: their makers' figures, and sources.

Nothing here is measured. Figures are of a chip (TPU) or a GPU, dense, without sparsity:

* TPU v5e: 197 TFLOP/s in bfloat16, an all-reduce bandwidth of 51.2 TB/s for a pod of
  256 chips, 8 chips a host: https://docs.cloud.google.com/tpu/docs/v5e. That is 200
  GB/s a chip: what its four links send at 50 GB/s each.
* TPU v6e: 918 TFLOP/s in bfloat16, 102.4 TB/s for a pod of 256 chips, 8 chips a host,
  matrix units of 256 x 256: https://docs.cloud.google.com/tpu/docs/v6e.
* Matrix units of 128 x 128 before v6e, and PCIe at 15 GB/s a chip, 32 GB/s of v6e:
  "How to Think About TPUs", https://jax-ml.github.io/scaling-book/tpus/.
* Precision: TPUs multiply in bfloat16; JAX's "high" (here "tensorfloat32") takes three
  such passes, "highest" ("float32") six.
* H100 SXM5: 989.4 TFLOP/s in bfloat16, 494.7 in TF32, 66.9 in float32, PCIe Gen5 at
  128 GB/s, 64 each way: https://glennklockwood.com/garden/processors/h100. NVLink at
  450 GB/s each way: "How to Think About GPUs",
  https://jax-ml.github.io/scaling-book/gpus/.
"""

from typing import NamedTuple

GIGA, TERA = 1e9, 1e12


class Machine(NamedTuple):
    """`peak`: FLOP/s of a device by the precision of st-networks.

    `reduce_bandwidth`: bytes/s each device sends to others in an all-reduce;
    `host_bandwidth`: bytes/s from a device to its host; `columns`: output channels that
    a matrix unit takes at a time, of which fewer leave the others idle.
    """

    devices: int
    devices_per_host: int
    peak: dict[str, float]
    reduce_bandwidth: float
    host_bandwidth: float
    columns: int


def _tpu(bfloat16: float, pod_reduce: float, host: float, columns: int) -> Machine:
    passes = {"bfloat16": 1, "tensorfloat32": 3, "float32": 6}
    peak = {name: bfloat16 / count for name, count in passes.items()}
    return Machine(256, 8, peak, pod_reduce / 256, host, columns)


MACHINES = {
    "v5e-256": _tpu(197 * TERA, 51.2 * TERA, 15 * GIGA, 128),
    "v6e-256": _tpu(918 * TERA, 102.4 * TERA, 32 * GIGA, 256),
    "h100-8": Machine(
        devices=8,
        devices_per_host=8,
        peak={
            "bfloat16": 989.4 * TERA,
            "tensorfloat32": 494.7 * TERA,
            "float32": 66.9 * TERA,
        },
        reduce_bandwidth=450 * GIGA,
        host_bandwidth=64 * GIGA,
        # tiles of the instructions are smaller than any flow of the paper is wide
        columns=1,
    ),
}

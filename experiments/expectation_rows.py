"""The numbers of `benchmark --expect`: each is computed, none is measured.

A row is a config on a machine, with `batch_per_device` and `batch_size` (of all its
devices), `parameters` and `gflop_per_image` (of a training step, counted on the
program), then:

* `fill`: the share of a matrix unit's columns that a convolution of `model.width`
  output channels, the narrowest, uses; `sustained_tflops`: the peak of the config's
  precision, times `fill`, times `sustained`, an assumption (--sustained);
* `compute_ms` = FLOPs of a device's part of the batch / sustained;
* `all_reduce_ms` = 2 (n - 1) / n * bytes of parameters and batch statistics /
  bandwidth: a ring's, and any algorithm's bound. Latency is left out.
  `all_reduce_share`: of both times, one after the other;
* `batch_of_equal_times`: images a device whose arithmetic takes as long as the
  all-reduce: with fewer, it dominates; `_at_peak`: of a device at its peak;
* `images_per_second` of the machine, `_per_host`, and `input_mb_per_second` a host;
* `cores_in_memory`, `cores_streamed`: cores a host keeps busy with reading, at the
  rates a core of results/input_pipeline.json reaches with FashionMNIST in memory and
  streamed from array_record by workers; of other images by their bytes, which is rough;
* `state_mib`: parameters, optimiser, statistics; `checkpoint_copy_ms`: from one device
  to its host, while which training waits, `checkpoint_share` of the steps between two
  (`checkpoint_every`), with the step that looks for a finite loss; written in the
  background, at `checkpoint_write_mb_per_second` or faster.
"""

from typing import NamedTuple

from experiments.expectation_machines import Machine

# results/input_pipeline.json: images a second of a core, and bytes of its images
IN_MEMORY, STREAMED, MEASURED_BYTES = 2_649_452, 4_933, 28 * 28
MIB = 2**20


class Model(NamedTuple):
    """What is counted of a config; `reduced` and `state` in bytes."""

    name: str
    precision: str
    width: int
    batch: int
    image_bytes: int
    parameters: int
    flops_per_image: float
    reduced: int
    state: int
    checkpoint_every: int


def fill(width: int, columns: int) -> float:
    """The share of columns that `width` channels use, in as many rounds as it takes."""
    rounds = -(-width // columns)
    return width / (rounds * columns)


def make_row(model: Model, name: str, machine: Machine, sustained: float) -> dict:
    """What a training step of `model` can be expected to take on a machine."""
    peak, n = machine.peak[model.precision], machine.devices
    used = fill(model.width, machine.columns)
    speed = peak * used * sustained
    compute = model.batch * model.flops_per_image / speed
    reduce = 2 * (n - 1) / n * model.reduced / machine.reduce_bandwidth
    step = compute + reduce
    rate = n * model.batch / step
    per_host = rate * machine.devices_per_host / n
    relative = model.image_bytes / MEASURED_BYTES
    copy = model.state / machine.host_bandwidth
    every = model.checkpoint_every
    return {
        "model": model.name,
        "machine": name,
        "devices": n,
        "batch_per_device": model.batch,
        "batch_size": n * model.batch,
        "precision": model.precision,
        "parameters": model.parameters,
        "gflop_per_image": model.flops_per_image / 1e9,
        "fill": used,
        "sustained_tflops": speed / 1e12,
        "compute_ms": 1e3 * compute,
        "all_reduce_ms": 1e3 * reduce,
        "all_reduce_share": reduce / step,
        "batch_of_equal_times": reduce * speed / model.flops_per_image,
        "batch_of_equal_times_at_peak": reduce * peak / model.flops_per_image,
        "images_per_second": rate,
        "images_per_second_per_host": per_host,
        "input_mb_per_second": per_host * model.image_bytes / 1e6,
        "cores_in_memory": per_host * relative / IN_MEMORY,
        "cores_streamed": per_host * relative / STREAMED,
        "state_mib": model.state / MIB,
        "checkpoint_copy_ms": 1e3 * copy,
        "checkpoint_share": (copy + step) / (every * step + copy + step),
        "checkpoint_write_mb_per_second": model.state / (every * step) / 1e6,
    }

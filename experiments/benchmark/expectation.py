"""`benchmark --expect=MACHINES`: what a training step should take there, on paper.

Counts the config's model (any number of configs, separated by commas) and divides by
what the makers of machines say they do; nothing runs. What each number is, and what is
assumed: expectation_rows.py. Machines and sources: expectation_machines.py.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.benchmark import requests
from experiments.benchmark.cases import sweep
from experiments.benchmark.work import build_work, count, shapes
from experiments.core import options
from experiments.core.config import load_config
from experiments.core.errors import UserError, writing
from experiments.core.results import versions
from experiments.core.text import markdown_lines, number
from flowjax_ood.runtime.files import write_bytes

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


NAME = "expectation"


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark --expect` as the command line asks for it."""
    machines = options.known_names("expect", args.expect, MACHINES)
    if not 0 < args.sustained <= 1:
        raise UserError(f"--sustained must lie in (0, 1], got {args.sustained}")
    paths = options.names("config", args.config)
    models = [m for path in paths for m in _models(path, args, overrides)]
    rows = [
        make_row(model, name, MACHINES[name], args.sustained)
        for model in models
        for name in machines
    ]
    write(args.out, rows, args.sustained)
    print(markdown(rows, args.sustained), end="")
    print(f"{NAME}.json and .md are in {args.out}")


def _models(path: str, args: argparse.Namespace, overrides: Sequence[str]):
    def load(more):
        return load_config(path, [*overrides, *more])

    for case in sweep(load, ["train"], requests.axes(args)):
        if "convolution" not in case.config.model:
            raise UserError(f"--expect computes flows on images, got {path}")
        # devices that are here have no say: as on one
        alone = case._replace(settings=case.settings | {"devices": 1})
        alone.config.parallel, alone.config.fsdp = "jit", 1
        counts = count(alone)
        state = shapes(build_work(alone))[0]
        config, size = case.config, case.config.train.batch_size
        yield Model(
            name=Path(path.partition(":")[0]).stem,
            precision=config.model.precision,
            width=config.model.width,
            batch=size,
            image_bytes=_product(counts.image_shape),
            parameters=counts.parameters,
            flops_per_image=counts.flops / size,
            reduced=_bytes((state.params, state.batch_stats)),
            state=_bytes(state),
            checkpoint_every=config.train.checkpoint_every,
        )


def write(out: Path, rows: list[dict], sustained: float) -> None:
    """`NAME.json` and `.md` in `out`; UserError where nothing can be written there."""
    content = {
        "computed": "not measured",
        "sustained": sustained,
        "rows": rows,
        "versions": versions(),
    }
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with writing("--out", out):
        out.mkdir(parents=True, exist_ok=True)
        write_bytes(out / f"{NAME}.json", text.encode())
        write_bytes(out / f"{NAME}.md", markdown(rows, sustained).encode())


def markdown(rows: Sequence[dict], sustained: float) -> str:
    """The rows as a table, with what is assumed below it."""
    columns = {
        "model": lambda r: r["model"],
        "machine": lambda r: r["machine"],
        "batch": lambda r: f"{r['batch_per_device']} x {r['devices']}",
        "sustained TFLOP/s": lambda r: number(r["sustained_tflops"]),
        "compute ms": lambda r: number(r["compute_ms"]),
        "all-reduce ms": lambda r: number(r["all_reduce_ms"]),
        "its share": lambda r: f"{r['all_reduce_share']:.1%}",
        "equal at batch": lambda r: number(r["batch_of_equal_times"]),
        "at peak": lambda r: number(r["batch_of_equal_times_at_peak"]),
        "images/s": lambda r: number(r["images_per_second"]),
        "a host": lambda r: number(r["images_per_second_per_host"]),
        "cores, memory": lambda r: number(r["cores_in_memory"]),
        "cores, streamed": lambda r: number(r["cores_streamed"]),
        "state MiB": lambda r: number(r["state_mib"]),
        "copy ms": lambda r: number(r["checkpoint_copy_ms"]),
        "checkpoint": lambda r: f"{r['checkpoint_share']:.2%}",
        "write MB/s": lambda r: number(r["checkpoint_write_mb_per_second"]),
    }
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    lines = markdown_lines(list(columns), cells, left=3)
    lines += ["", _note(sustained)]
    return "\n".join(lines) + "\n"


def _note(sustained: float) -> str:
    return (
        "Computed, not measured. A device is assumed to sustain "
        f"{sustained:.0%} of the part of its peak, in the config's precision, that the "
        "flow's narrowest convolutions can use. `equal at batch`: images a device at "
        "which arithmetic takes as long as the all-reduce; `at peak`: of a device at "
        "its full peak. `cores`: of a host, for reading images."
    )


def _product(shape) -> int:
    height, width, channels = shape
    return height * width * channels


def _bytes(tree) -> int:
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(tree))

"""`benchmark --expect=MACHINES`: what a training step should take there, on paper.

Counts the config's model (any number of configs, separated by commas) and divides by
what the makers of machines say they do; nothing runs. What each number is, and what is
assumed: expectation_rows.py. Machines and sources: expectation_machines.py.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import jax

from experiments import benchmark_arguments as asked
from experiments.benchmark_cases import sweep
from experiments.benchmark_table import markdown_lines, number
from experiments.benchmark_work import build_work, count, shapes
from experiments.config import UserError, load_config
from experiments.expectation_machines import MACHINES
from experiments.expectation_rows import Model, make_row
from experiments.results import versions
from flowjax_ood.analysis.atomic import write_bytes

NAME = "expectation"


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark --expect` as the command line asks for it."""
    machines = asked.known_names("expect", args.expect, MACHINES)
    if not 0 < args.sustained <= 1:
        raise UserError(f"--sustained must lie in (0, 1], got {args.sustained}")
    paths = asked.names("config", args.config)
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

    for case in sweep(load, ["train"], asked.axes(args)):
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
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_bytes(out / f"{NAME}.json", text.encode())
        write_bytes(out / f"{NAME}.md", markdown(rows, sustained).encode())
    except OSError as error:
        raise UserError(f"cannot write in --out {out}: {error}") from error


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

"""`benchmark --config=FILE[:VARIANT]`: throughput of any model on fake images.

Sweeps over modes, batch sizes, precisions and adapters; prints a table and writes
benchmark.json and benchmark.csv.
"""

import csv
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import build
from experiments.config import UserError
from experiments.results import versions, write_json
from experiments.timing import Timing, measured_peak, time_calls
from flowjax_ood import data
from flowjax_ood.analysis.flops import count_flops
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step

MODES = ("train", "evaluate", "sample")


class Case(NamedTuple):
    """One row of the sweep."""

    mode: str
    batch_size: int
    dtype: str
    parallel: str


class Work(NamedTuple):
    """A compiled call with what is known of it before it runs."""

    call: object
    flops: int
    compile_seconds: float
    temporary_bytes: int | None


def sweep(modes, batch_sizes, dtypes, adapters) -> list[Case]:
    """All combinations; adapters matter to training alone. Raises UserError."""
    for what, values, known in (
        ("mode", modes, MODES),
        ("dtype", dtypes, tuple(build.DTYPES)),
    ):
        if unknown := [v for v in values if v not in known]:
            raise UserError(f"unknown {what} {unknown[0]!r}; known: {', '.join(known)}")
    cases = []
    for mode, size, dtype in itertools.product(modes, batch_sizes, dtypes):
        for adapter in adapters if mode == "train" else ("jit",):
            cases.append(Case(mode, size, dtype, adapter))
    return cases


def fake_shape(config: ConfigDict) -> tuple[int, int, int]:
    """Shape of the config's images, without reading any."""
    c = config.data
    fake = data.load(
        c.train, source="synthetic", limit=1, image_size=c.image_size or None
    )
    return tuple(fake.images.shape[1:])


def prepare(config: ConfigDict, case: Case, shape) -> Work:
    """Build and compile what `case` measures, with parameters at their start."""
    config = ConfigDict(config.to_dict())
    config.model.dtype = case.dtype
    config.parallel = case.parallel
    config.train.batch_size = case.batch_size
    parallel = build.parallel(config)
    flow = build.flow(config, shape, training=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (case.batch_size, *shape), np.uint8)
    batch = {"image": images, "index": np.arange(case.batch_size, dtype=np.int32)}
    key = build.random_key(0)
    if case.mode == "train":
        return _training(config, flow, parallel, batch, key)
    x = dequantize(jnp.asarray(images), example_keys(key, jnp.asarray(batch["index"])))
    variables = jax.device_put(jax.jit(flow.init)(key, x), parallel.replicated)
    if case.mode == "evaluate":

        def run(variables, batch):
            x = dequantize(batch["image"], example_keys(key, batch["index"]))
            return flow.apply(variables, x)

        return _compiled(run, (variables, jax.device_put(batch, parallel.split)))
    keys = jax.device_put(jax.random.split(key, len(parallel.devices)), parallel.split)
    count = case.batch_size // len(parallel.devices)

    def draw(variables, keys):
        def one(key):
            return flow.apply(variables, key, count, method="sample")

        return jax.vmap(one)(keys)

    return _compiled(draw, (variables, keys))


def _training(config, flow, parallel, batch, key) -> Work:
    optimizer = build.optimizer(config, num_steps=1_000_000)
    x = dequantize(jnp.asarray(batch["image"]), example_keys(key, batch["index"]))
    state = create_state(flow, optimizer, key, x)
    step = make_train_step(flow, optimizer)
    flops = count_flops(step, state, batch, key)
    run = parallel.wrap_step(step)
    placed, batch = parallel.place_state(state), parallel.place_batch(batch)
    began = time.perf_counter()
    memory = None
    if hasattr(run, "lower"):
        compiled = run.lower(placed, batch, key).compile()
        memory, run = _temporary(compiled), compiled
    # the state is donated: each call goes on from the one before
    held = list(jax.block_until_ready(run(placed, batch, key)))
    seconds = time.perf_counter() - began

    def call():
        held[:] = run(held[0], batch, key)
        return held

    return Work(call, flops, seconds, memory)


def _compiled(fn, args) -> Work:
    flops = count_flops(fn, *args)
    began = time.perf_counter()
    compiled = jax.jit(fn).lower(*args).compile()
    seconds = time.perf_counter() - began
    return Work(lambda: compiled(*args), flops, seconds, _temporary(compiled))


def _temporary(compiled) -> int | None:
    analysis = compiled.memory_analysis()
    return None if analysis is None else int(analysis.temp_size_in_bytes)


def measure(config, case: Case, shape, seconds: float, repeats: int) -> dict:
    """One row: throughput with its spread, step times, memory and FLOPs."""
    work = prepare(config, case, shape)
    timing = time_calls(work.call, seconds=seconds, repeats=repeats)
    return case._asdict() | _row(case, work, timing)


def _row(case: Case, work: Work, timing: Timing) -> dict:
    rates = [case.batch_size / s for s in timing.repeats]
    return {
        "images_per_second": float(np.median(rates)),
        "images_per_second_min": min(rates),
        "images_per_second_max": max(rates),
        "step_ms_p10": 1e3 * timing.p10,
        "step_ms_p50": 1e3 * timing.p50,
        "step_ms_p90": 1e3 * timing.p90,
        "compile_seconds": work.compile_seconds,
        "temporary_mib": work.temporary_bytes and work.temporary_bytes / 2**20,
        "gflop_per_image": work.flops / case.batch_size / 1e9,
        "gflops_per_second": work.flops / timing.p50 / 1e9,
    }


def command(config: ConfigDict, args) -> None:
    """Run `benchmark` as the command line asks for it."""
    sizes = args.batch or str(config.train.batch_size)
    if not all(size.isdecimal() and int(size) for size in sizes.split(",")):
        raise UserError(f"--batch takes sizes such as 32,64, got {sizes!r}")
    if args.seconds <= 0 or args.repeats < 1:
        raise UserError(
            f"--seconds and --repeats must be positive, got {args.seconds} and "
            f"{args.repeats}"
        )
    main(
        config,
        args.out,
        sweep(
            args.mode.split(","),
            [int(size) for size in sizes.split(",")],
            args.dtype.split(","),
            args.parallel.split(","),
        ),
        seconds=args.seconds,
        repeats=args.repeats,
        peak_tflops=args.peak,
        profile=args.profile,
    )


def main(
    config: ConfigDict,
    out: Path,
    cases: list[Case],
    *,
    seconds: float = 2.0,
    repeats: int = 5,
    peak_tflops: float | None = None,
    profile: Path | None = None,
) -> None:
    """Measure every case, print the table, and write JSON, CSV and a plot to `out`."""
    shape = fake_shape(config)
    peaks = {
        dtype: _peak(config, dtype, peak_tflops) for dtype in {c.dtype for c in cases}
    }
    rows = []
    for number, case in enumerate(cases, start=1):
        print(f"[{number}/{len(cases)}] {' '.join(map(str, case))}", flush=True)
        if profile:
            with jax.profiler.trace(str(profile)):
                row = measure(config, case, shape, seconds, repeats)
        else:
            row = measure(config, case, shape, seconds, repeats)
        peak = max(peaks[case.dtype].values())
        row["mfu"] = 1e9 * row["gflops_per_second"] / peak
        rows.append(row)
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "config": config.to_dict(),
        "image_shape": list(shape),
        "peak_flops_per_second": peaks,
        "peak_is": "given" if peak_tflops else "measured on this machine",
        "rows": rows,
        "versions": versions(),
    }
    write_json(out / "benchmark.json", content)
    with (out / "benchmark.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print_rows(rows)
    print(f"benchmark.json and benchmark.csv are in {out}")


def _peak(config, dtype: str, given: float | None) -> dict[str, float]:
    if given:
        return {"given": given * 1e12}
    return measured_peak(build.parallel(config), build.DTYPES[dtype] or jnp.float32)


def print_rows(rows: list[dict]) -> None:
    """The columns one reads first."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="throughput: median and spread over the repeats")
    for name in ("mode", "batch", "dtype", "adapter"):
        table.add_column(name, no_wrap=True)
    columns = ("images/s", "spread", "step ms", "compile s", "MiB", "GFLOP/s", "MFU")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for r in rows:
        low, high = r["images_per_second_min"], r["images_per_second_max"]
        memory = r["temporary_mib"]
        table.add_row(
            r["mode"],
            str(r["batch_size"]),
            r["dtype"],
            r["parallel"],
            f"{r['images_per_second']:.1f}",
            f"{low:.1f}-{high:.1f}",
            f"{r['step_ms_p50']:.1f}",
            f"{r['compile_seconds']:.1f}",
            "-" if memory is None else f"{memory:.0f}",
            f"{r['gflops_per_second']:.0f}",
            f"{100 * r['mfu']:.0f}%",
        )
    # wide enough for every column, wherever it is printed
    Console(width=110).print(table)

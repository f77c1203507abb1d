"""What `benchmark` can be asked for: its arguments, and what they say.

Light: read before JAX is imported.
"""

import argparse
import math
from pathlib import Path

from experiments.config import UserError

MODES = ("train", "evaluate", "sample")
# what a config says by three keys, by one name
STACKINGS = {
    "+".join(filter(None, (stack, option))): {
        "model.stack": stack,
        "model.remat": option if option in ("st", "full") else "none",
        "model.reversible": option == "reversible",
    }
    for stack, options in {
        "chain": ("",),
        "unroll": ("", "st", "full", "reversible"),
        "scan": ("", "st", "full", "reversible"),
    }.items()
    for option in options
}
EPILOG = f"""\
lists are separated by commas, and every combination is measured:
  --batch=32,64 --mode=train,evaluate
  --vary=model.couplings=4,8,16 --vary=model.width=16,64
  --stack={",".join(("chain", "scan", "scan+full", "scan+reversible"))}

stackings: {", ".join(STACKINGS)}

--data measures the config's own input pipeline in place of its model, and says whether
images come as fast as the training step takes them:
  --data --config.data.streaming=True --vary=data.read_workers=0,2,4
Its results are benchmark_data.json, .csv and .md (experiments/benchmark_data_rows.py).

--devices measures weak scaling of the training step: on the first 1, 2, ... devices,
each with the batch of the config (--batch: per device). On CPU there are as many as
JAX_NUM_CPU_DEVICES says:
  --devices=1,2,4,8 --parallel=jit,shard_map --interleave
Its results are weak_scaling.json, .csv and .md (experiments/benchmark_scaling_rows.py).

--expect computes, and measures nothing: what a step of the config's model takes on
machines that are not here, each device with the batch of the config:
  --expect=v5e-256,v6e-256,h100-8
Its results are expectation.json and .md (experiments/expectation.py).

In DIR: benchmark.json and .csv, written anew after every measurement, benchmark.md (the
table), benchmark.png. Units, and what each number is: experiments/benchmark_rows.py.
"""


def add_arguments(benchmark: argparse.ArgumentParser) -> None:
    """The arguments of `benchmark`, but for `--config.KEY=VALUE`."""
    add = benchmark.add_argument
    add("--config", required=True, metavar="FILE[:VARIANT]")
    add(
        "--out",
        type=Path,
        default=Path("benchmark"),
        metavar="DIR",
        help="where the results go (default: benchmark)",
    )
    add("--mode", default=",".join(MODES), help="what is timed (default: all three)")
    for name, text in (
        ("batch", "batch sizes"),
        ("precision", "arithmetic of the st-networks"),
        ("stack", "how couplings are stacked, by the names below"),
        ("parallel", "adapters of the training step: jit, pmap, shard_map"),
    ):
        add(f"--{name}", default="", help=f"{text} (default: the config's)")
    add(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=V1,V2,...",
        help="any key of the config, with the values it takes; may be given again",
    )
    add("--seconds", type=float, default=2.0, help="length of a repeat (default: 2)")
    add("--repeats", type=int, default=5, help="of each measurement (default: 5)")
    add(
        "--interleave",
        action="store_true",
        help="compile everything, then measure by turns: ratios hold on a busy machine",
    )
    add(
        "--peak",
        default="",
        metavar="TFLOPS",
        help="TFLOP/s of one device that MFU is stated against, or one for each "
        "precision (default: measured here)",
    )
    add(
        "--data",
        action="store_true",
        help="measure how fast the config's own images are read, and whether the "
        "training step takes them faster",
    )
    add(
        "--need",
        default="",
        metavar="RATE",
        help="with --data: images/s that the step takes, of an accelerator that is not "
        "here (default: measured on the devices here)",
    )
    add(
        "--devices",
        default="",
        metavar="N1,N2,...",
        help="weak scaling: time the training step on so many of the devices here",
    )
    add(
        "--expect",
        default="",
        metavar="MACHINES",
        help="compute on paper what a training step takes on v5e-256, v6e-256, h100-8",
    )
    add(
        "--sustained",
        type=float,
        default=0.2,
        metavar="FRACTION",
        help="with --expect: the share of a device's peak, of what its units can be "
        "filled to, that it sustains (default: 0.2)",
    )
    add("--profile", type=Path, metavar="DIR", help="trace a few steps of each there")


def names(flag: str, text: str) -> list[str]:
    """`a,b` as a list; UserError where a value is empty."""
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise UserError(f"--{flag} takes values separated by commas, got {text!r}")
    return values


def known_names(flag: str, text: str, known) -> list[str]:
    """`names`, all of them among `known`."""
    for value in (values := names(flag, text)):
        if value not in known:
            raise UserError(f"unknown {flag} {value!r}; known: {', '.join(known)}")
    return values


def axes(args: argparse.Namespace) -> list[list[dict[str, str]]]:
    """What is swept: for each argument its choices, as `{config key: value}` each.

    Raises UserError for a key that two arguments set.
    """
    found = []
    for given in args.vary:
        key, equals, text = given.partition("=")
        if not equals or not key:
            raise UserError(f"--vary takes KEY=V1,V2,..., got {given!r}")
        found.append([{key: value} for value in names(f"vary {key}", text)])
    if args.batch:
        sizes = names("batch", args.batch)
        if not all(size.isdecimal() and int(size) for size in sizes):
            raise UserError(f"--batch takes sizes such as 32,64, got {args.batch!r}")
        found.append([{"train.batch_size": size} for size in sizes])
    if args.precision:
        values = names("precision", args.precision)
        found.append([{"model.precision": value} for value in values])
    if args.stack:
        stacks = known_names("stack", args.stack, STACKINGS)
        found.append([{k: str(v) for k, v in STACKINGS[s].items()} for s in stacks])
    if args.parallel:
        values = names("parallel", args.parallel)
        found.append([{"parallel": value} for value in values])
    swept = [key for choices in found for key in choices[0]]
    for key in swept:
        if swept.count(key) > 1:
            raise UserError(f"config key {key!r} is swept by two arguments; drop one")
    return found


def peaks(text: str, precisions: list[str]) -> dict[str, float] | None:
    """FLOP/s of a device for each precision as `--peak` gives it; None if it is not."""
    if not text:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= len(precisions)
    if len(values) != len(precisions) or not all(0 < v < math.inf for v in values):
        raise UserError(
            "--peak takes the TFLOP/s of one device, or one number for each precision "
            f"({', '.join(precisions)}), got {text!r}"
        )
    return {name: 1e12 * value for name, value in zip(precisions, values)}


def one_kind(args: argparse.Namespace) -> None:
    """Raise UserError where two kinds of benchmark are asked for at once."""
    kinds = [kind for kind in ("data", "devices", "expect") if getattr(args, kind)]
    if len(kinds) > 1:
        raise UserError(f"--{kinds[0]} and --{kinds[1]} are two benchmarks; drop one")


def need(args: argparse.Namespace) -> float | None:
    """Images a second as `--need` gives them, None if it does not.

    Raises UserError for what has no use with `--data`, or without it.
    """
    if not args.data:
        if args.need:
            raise UserError("--need is of use with --data alone")
        return None
    for flag, others in (("mode", ",".join(MODES)), ("peak", ""), ("profile", None)):
        if getattr(args, flag) != others:
            raise UserError(f"--{flag} is of use without --data alone")
    if not args.need:
        return None
    try:
        rate = float(args.need)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise UserError(f"--need takes the images/s of a step, got {args.need!r}")
    return rate


def device_counts(args: argparse.Namespace, there: int) -> list[int]:
    """The numbers of devices of `--devices`, ascending; UserError if `there` are fewer.

    Also for what is of no use beside it.
    """
    for flag, others in (("peak", ""), ("profile", None), ("need", "")):
        if getattr(args, flag) != others:
            raise UserError(f"--{flag} is of no use with --devices")
    if args.mode not in ("train", ",".join(MODES)):
        raise UserError(f"--devices measures training alone, got --mode={args.mode}")
    values = names("devices", args.devices)
    if not all(value.isdecimal() and int(value) for value in values):
        raise UserError(
            f"--devices takes numbers such as 1,2,4,8, got {args.devices!r}"
        )
    found = sorted({int(value) for value in values})
    if found[-1] > there:
        raise UserError(
            f"--devices={args.devices}: there are {there} devices here; on CPU, start "
            f"with JAX_NUM_CPU_DEVICES={found[-1]} in the environment"
        )
    return found


def timing(args: argparse.Namespace) -> dict:
    """How measurements are timed, as results say it."""
    return {name: getattr(args, name) for name in ("seconds", "repeats", "interleave")}


def check_durations(args: argparse.Namespace) -> None:
    """Raise UserError unless there is something to measure."""
    if not 0 < args.seconds < math.inf or args.repeats < 1:
        raise UserError(
            f"--seconds and --repeats must be positive, got {args.seconds} and "
            f"{args.repeats}"
        )

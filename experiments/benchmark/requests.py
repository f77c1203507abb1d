"""The arguments of `benchmark`, checked."""

import argparse
import math
from collections.abc import Sequence

from experiments.benchmark import MODES, STACKINGS
from experiments.benchmark.cases import Case, sweep
from experiments.core.config import load_config
from experiments.core.options import known_names, names
from flowjax_ood.interface.errors import UserError


def cases(
    args: argparse.Namespace, overrides: Sequence[str], modes: Sequence[str]
) -> tuple[list[Case], dict]:
    """`(cases, facts)`: all cases; their config, and how they are timed."""

    def load(more):
        return load_config(args.config, [*overrides, *more])

    timing = {
        name: getattr(args, name) for name in ("seconds", "repeats", "interleave")
    }
    cases = sweep(load, modes, axes(args))
    return cases, {"config": load([]).to_dict(), **timing}


def axes(args: argparse.Namespace) -> list[list[dict[str, str]]]:
    """The axes of the sweep: for each its choices, as `{config key: value}` each.

    Raises UserError for a key that two arguments set.
    """
    swept = []
    for given in args.vary:
        key, equals, text = given.partition("=")
        if not equals or not key:
            raise UserError(f"--vary takes KEY=V1,V2,..., got {given!r}")
        swept.append([{key: value} for value in names(f"vary {key}", text)])
    if args.batch:
        sizes = names("batch", args.batch)
        if not all(size.isdecimal() and int(size) for size in sizes):
            raise UserError(f"--batch takes sizes such as 32,64, got {args.batch!r}")
        swept.append([{"train.batch_size": size} for size in sizes])
    if args.precision:
        values = names("precision", args.precision)
        swept.append([{"model.precision": value} for value in values])
    if args.stack:
        stacks = known_names("stack", args.stack, STACKINGS)
        swept.append([{k: str(v) for k, v in STACKINGS[s].items()} for s in stacks])
    if args.parallel:
        values = names("parallel", args.parallel)
        swept.append([{"parallel": value} for value in values])
    keys = [key for choices in swept for key in choices[0]]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"config key {key!r} is swept by two arguments; drop one")
    return swept


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


def check(args: argparse.Namespace) -> None:
    """Raise UserError for arguments of two kinds of benchmark at once."""
    if args.compiled and (args.data or args.interleave):
        given = "--data" if args.data else "--interleave"
        raise UserError(f"{given} is of no use with --compiled: nothing is timed")
    if args.data and args.devices:
        raise UserError("--data and --devices are two benchmarks; drop one")
    if args.compiled and not args.devices:
        raise UserError("--compiled needs --devices, for how many the step is compiled")
    if args.need and not args.data:
        raise UserError("--need is of use with --data alone")
    if args.devices and args.mode not in ("train", ",".join(MODES)):
        raise UserError(f"--devices measures training alone, got --mode={args.mode}")
    of_models = {"peak": "", "profile": None}
    if args.data:
        of_models["mode"] = ",".join(MODES)
    for flag, default in of_models.items():
        if (args.data or args.devices) and getattr(args, flag) != default:
            kind = "--data" if args.data else "--devices"
            raise UserError(f"--{flag} is of no use with {kind}")


def device_counts(args: argparse.Namespace, there: int) -> list[int]:
    """The values of `--devices`, ascending; UserError if fewer are `there`."""
    if max(args.devices) > there:
        raise UserError(
            f"--devices={','.join(map(str, args.devices))}: there are {there} devices "
            f"here; on CPU, start with JAX_NUM_CPU_DEVICES={max(args.devices)} in the "
            "environment"
        )
    return sorted(args.devices)

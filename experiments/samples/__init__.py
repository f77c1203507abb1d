"""What `samples` can be asked for: its arguments; light to import."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

EPILOG = """\
Leaves samples.png, a row a run and a group of samples a temperature, and samples.json:
how like held-out images samples are (distance to the nearest, roughness, spread), run
by run and temperature by temperature. The same noise, pixel by pixel, makes the samples
of all runs and temperatures.

--config.KEY=VALUE sets the same keys as in evaluate, of all runs:
  --config.data.path=DIR"""
MOST = 64


@dataclass(frozen=True)
class Options:
    """`count` samples are shown of each run at each of `temperatures`, in `out`."""

    workdirs: tuple[Path, ...]
    out: Path
    temperatures: tuple[float, ...] = (0.5, 0.7, 0.85, 1.0)
    count: int = 8
    seed: int = 0


def add_arguments(samples: argparse.ArgumentParser) -> None:
    """The arguments of `samples`, but for `--config.KEY=VALUE`."""
    samples.add_argument(
        "--workdir",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="of the runs, in the order of the figure's rows",
    )
    samples.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where both files go"
    )
    samples.add_argument(
        "--temperatures",
        type=_temperatures,
        default=Options.temperatures,
        metavar="T,...",
        help="standard deviations of the latents (default: 0.5,0.7,0.85,1.0)",
    )
    samples.add_argument(
        "--count",
        type=_count,
        default=Options.count,
        metavar="N",
        help=f"samples shown in a group (default: {Options.count})",
    )
    samples.add_argument(
        "--seed",
        type=_seed,
        default=Options.seed,
        metavar="N",
        help=f"of the noise (default: {Options.seed})",
    )


def options(args: argparse.Namespace) -> Options:
    """The options among parsed arguments."""
    return Options(
        tuple(args.workdir), args.out, args.temperatures, args.count, args.seed
    )


def _temperatures(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        values = ()
    good = all(0 < t < math.inf for t in values)
    if not values or not good or len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of different positive numbers, such as 0.7,1.0"
        )
    return values


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)

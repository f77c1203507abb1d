"""Types of the values of options, for argparse; light to import."""

import argparse
import math
from collections.abc import Callable, Hashable
from pathlib import Path

from flowjax_ood.interface.errors import os_error
from flowjax_ood.runtime.paths import AnyPath, as_path, is_url

# greatest of whole numbers: XLA counts in int32; and of seeds, of which JAX drops the
# bits above
COUNT, SEED = 2**31 - 1, 2**32 - 1


def directory(text: str) -> Path:
    """The type of a path; a `~` that no shell has replaced is the user's home.

    Refuses what no command could use, such as loops of links and names too long, and
    buckets, which few commands take: see `directory_or_bucket`.
    """
    if not text:
        raise argparse.ArgumentTypeError("'' names no directory: is a variable unset?")
    if is_url(text):
        raise argparse.ArgumentTypeError(
            f"{text}: this is of directories; `train`, `evaluate` and `status` "
            "alone take --workdir in a bucket. Copy the run to a disk first"
        )
    try:
        text.encode()
        path = Path(text).expanduser()
        path.resolve()
        path.exists()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not UTF-8, as names of checkpoints must be; rename it"
        ) from error
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot use {os_error(error)}") from error
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return path


def directories(text: str) -> tuple[Path, ...]:
    """The type of one or more paths separated by commas, each as `directory` has it."""
    return tuple(directory(part.strip()) for part in text.split(","))


def directory_or_bucket(text: str) -> AnyPath:
    """The type of a path on a disk, as `directory`, or in a bucket."""
    if not is_url(text):
        return directory(text)
    try:
        return as_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def whole_number(least: int = 0, most: int = COUNT) -> Callable[[str], int]:
    """The type of a whole number from `least` to `most`."""
    limits = f"of at least {least}" if most == COUNT else f"from {least} to {most}"
    return _checked(int, lambda v: least <= v <= most, f"whole number {limits}")


def number(least: float = 0.0, above: bool = True) -> Callable[[str], float]:
    """The type of a finite number above `least`, or of at least that much."""
    limits = f"above {least:g}" if above else f"of at least {least:g}"

    def holds(value: float) -> bool:
        return least <= value < math.inf and not (above and value == least)

    return _checked(float, holds, f"number {limits}")


def _checked(kind: type, holds: Callable[[float], bool], what: str) -> Callable:
    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
        return value

    return parse


def several(item: Callable[[str], Hashable], example: str) -> Callable[[str], tuple]:
    """The type of one or more different values separated by commas, each an `item`."""

    def parse(text: str) -> tuple:
        values = [item(part.strip()) for part in text.split(",")]
        if len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(
                f"{text!r} names a value twice; give different values such as {example}"
            )
        return tuple(values)

    return parse

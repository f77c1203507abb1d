"""Options that commands share; light to import."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.options import SEED, directory, whole_number

CONFIGS = Path(__file__).parents[1] / "configs"


def known_configs() -> list[str]:
    """File names of the experiments in experiments/configs."""
    return sorted(p.name for p in CONFIGS.glob("*.py") if p.name != "__init__.py")


def add_config(parser, text: str, required: bool = True) -> None:
    """Add the option `--config` to a parser, or to a group of its options."""
    options = {"required": required, "metavar": "FILE[:VARIANT]"}
    parser.add_argument("--config", **options, help=text)


def add_workdir(parser: argparse.ArgumentParser, text: str, **changes) -> None:
    """Add the option `--workdir`, required and of a single directory unless changed."""
    options: dict[str, Any] = {"type": directory, "required": True, "metavar": "DIR"}
    parser.add_argument("--workdir", **options | {"help": text} | changes)


def add_out(parser: argparse.ArgumentParser, text: str, **changes) -> None:
    """Add the option `--out`, of a directory; None where it is left out."""
    parser.add_argument("--out", type=directory, metavar="DIR", help=text, **changes)


def add_counts(
    parser: argparse.ArgumentParser, counts: Iterable[tuple[str, int, int, str]]
) -> None:
    """Add options of whole numbers: `(name, least, default, meaning)` each."""
    for name, least, default, text in counts:
        parser.add_argument(
            f"--{name}",
            type=whole_number(least),
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )


def add_seed(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the option `--seed`; `text` says of what it is."""
    parser.add_argument(
        "--seed",
        type=whole_number(most=SEED),
        default=0,
        metavar="N",
        help=f"{text} (default: %(default)s)",
    )


def add_kept_scores(
    parser: argparse.ArgumentParser, command: str, detectors: str
) -> None:
    """Add options of commands that read the scores of a `detect` run.

    `detectors` says what its option is like, and which ones there are without it.
    """
    add_workdir(parser, "directory of a finished `detect`")
    text = f"directory of what is written (default: {command} in --workdir)"
    add_out(parser, text)
    parser.add_argument(
        "--detectors", default="", metavar="NAME[,NAME...]", help=detectors
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="a folder of DIR/scores, such as seed_1 (default: the first)",
    )


def refuse_overrides(command: str, overrides: Sequence[str], why: str = "") -> None:
    """Raise UserError for `--config.KEY=VALUE` given to a command without a config."""
    if overrides:
        raise UserError(f"{command} takes no --config keys{why}")


# --- values that are checked after parsing ------------------------------------------


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

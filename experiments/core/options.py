"""Options that commands share, and the types of their values; light to import."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.core.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"


def known_configs() -> list[str]:
    """File names of the experiments in experiments/configs."""
    return sorted(p.name for p in CONFIGS.glob("*.py") if p.name != "__init__.py")


def add_config(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the required option `--config`."""
    parser.add_argument("--config", required=True, metavar="FILE[:VARIANT]", help=text)


def add_workdir(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the required option `--workdir`, of a single directory."""
    parser.add_argument("--workdir", type=Path, required=True, metavar="DIR", help=text)


def refuse_overrides(command: str, overrides: Sequence[str], why: str = "") -> None:
    """Raise UserError for `--config.KEY=VALUE` given to a command without a config."""
    if overrides:
        raise UserError(f"{command} takes no --config keys{why}")


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

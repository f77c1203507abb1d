"""The door to all commands: `python -m experiments COMMAND ...`.

A command is a package. Its `__init__.py`, light to import, has `SUMMARY`, `EPILOG` and
`add_arguments(parser)`; its `command.py` has `run(args, overrides)`, where `overrides`
are the `KEY=VALUE` of all `--config.KEY=VALUE`. `run` returns None or an exit status.
`USES_JAX = False` in `__init__.py` runs the command without preparing for JAX.
"""

import argparse
import signal
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import Any

from experiments.core import distributed
from experiments.core.explanations import explanation
from flowjax_ood.interface import environment
from flowjax_ood.runtime.messages import say
from flowjax_ood.runtime.terminations import terminations

# in the order of --help
COMMANDS = {
    "demo": "experiments.demo",
    "train": "experiments.train",
    "ablate": "experiments.ablate",
    "evaluate": "experiments.evaluate",
    "benchmark": "experiments.benchmark",
    "peers": "experiments.peers",
    "precision": "experiments.precision",
    "detect": "experiments.detect",
    "decide": "experiments.decide",
    "drift": "experiments.drift",
    "scores": "experiments.scores",
    "compare": "experiments.compare",
    "novelty": "experiments.novelty",
    "monitor": "experiments.monitor",
    "reconstruct": "experiments.reconstruct",
    "steal": "experiments.steal",
    "federated": "experiments.federated",
    "inspect": "experiments.inspect",
    "samples": "experiments.samples",
    "maps": "experiments.maps",
    "embed": "experiments.embed",
    "report": "experiments.report",
    "status": "experiments.status",
}
DESCRIPTION = """\
Train normalizing flows on images, and measure how well they and other detectors tell
out-of-distribution data."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands, without `--config.KEY=VALUE`."""
    options: dict[str, Any] = {
        "allow_abbrev": False,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    top = argparse.ArgumentParser(
        prog="python -m experiments",
        description=DESCRIPTION,
        epilog="COMMAND --help says more. Start with: python -m experiments demo\n\n"
        + environment.EPILOG,
        **options,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, package in COMMANDS.items():
        command = import_module(package)
        summary = command.SUMMARY
        added = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=command.EPILOG,
            **options,
        )
        command.add_arguments(added)
    return top


def split_overrides(argv: list[str]) -> tuple[list[str], list[str]]:
    """`--config.a.b=v` and `--config.a.b v` taken out of the arguments as `a.b=v`."""
    rest, overrides = [], []
    waiting = list(reversed(argv))
    while waiting:
        argument = waiting.pop()
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        override = argument.removeprefix("--config.")
        # the next option is not this one's value
        if "=" not in override and waiting and not waiting[-1].startswith("--"):
            override = f"{override}={waiting.pop()}"
        overrides.append(override)
    return rest, overrides


def run(argv: list[str]) -> int:
    """Run a command and return its exit status.

    0: done. 2: the request cannot be carried out, with a one-line reason. 128 + signal:
    stopped, after saving where it was training. 75: another process of the run is gone.
    """
    try:
        return _run(argv)
    except KeyboardInterrupt as stop:
        number = getattr(stop, "signum", signal.SIGINT)
        say(f"stopped by {number.name}; what was saved is kept: run it again")
        distributed.leave_others(128 + number)
        return 128 + number
    except Exception as error:
        message, status = explanation(error)
        if not message:
            raise
        say(message)
        return status


def _run(argv: list[str]) -> int:
    arguments, overrides = split_overrides(argv)
    args = parser().parse_args(arguments)
    if args.command is None:
        parser().print_help(sys.stderr)
        say("\nerror: no COMMAND given")
        return 2
    package = COMMANDS[args.command]
    # JAX reads the environment as it is imported, which --help need not wait for
    uses_jax = getattr(import_module(package), "USES_JAX", True)
    if uses_jax and "jax" not in sys.modules:
        environment.use_compilation_cache()
    joined = distributed.initialize(args)
    with environment.interrupts_end():
        command = import_module(f"{package}.command")
    # a process that waits for others, in a collective, would not come to answer
    with nullcontext() if joined else terminations():
        return command.run(args, overrides) or 0

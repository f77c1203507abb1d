"""The door of `flowjax-ood`: options of all commands, and errors in one line."""

import argparse
import signal
import sys
from importlib import import_module
from typing import Any

from flowjax_ood import __version__
from flowjax_ood.interface import environment, streams
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.machine_errors import of_the_machine
from flowjax_ood.interface.options import SEED, directory, number, whole_number
from flowjax_ood.runtime.messages import say
from flowjax_ood.runtime.terminations import terminations

DESCRIPTION = """\
Tell which images are new: unlike those that a detector was fitted to. It is fitted to
normal images alone, and says for each other image how often a normal one would look at
least as unusual (its p-value)."""
EPILOG = """\
The two commands that most need:

  flowjax-ood fit NORMAL_IMAGES --out DETECTOR
  flowjax-ood score DETECTOR NEW_IMAGES --out REPORT

COMMAND --help says more."""
IMAGES = (
    "a folder of image files, an .npz of images (uint8 [N, H, W, C]) or of embeddings "
    "(floating-point [N, D]), or an IDX file"
)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    options: dict[str, Any] = {
        "allow_abbrev": False,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    top = argparse.ArgumentParser(
        prog="flowjax-ood", description=DESCRIPTION, epilog=EPILOG, **options
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, summary: str, epilog: str = "") -> argparse.ArgumentParser:
        text = f"{summary[0].upper()}{summary[1:]}."
        return commands.add_parser(
            name, help=summary, description=text, epilog=epilog, **options
        )

    _fit(command("fit", "fit a detector to normal images", FIT))
    _score(command("score", "decide which images are new", SCORE))
    _watch(command("watch", "score images as they arrive, and watch for drift", WATCH))
    info = command("info", "say what a detector was fitted to, and what it can promise")
    info.add_argument("detector", type=directory, metavar="DETECTOR")
    info.add_argument("--json", action="store_true", help="print JSON")
    _export(command("export", "write a detector as one StableHLO program", EXPORT))
    return top


FIT = """\
Two fifths of the images, at most 2,000, are held back to calibrate the p-values. With
c of those, p-values reach down to 1 / (c + 1). Images in class folders help to find
what is normal within each class; names of classes are not needed otherwise.

An interrupted fit goes on where it was when the same command is run again."""


def _fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=directory, metavar="IMAGES", help=IMAGES)
    parser.add_argument(
        "--out", type=directory, required=True, metavar="DETECTOR", help="a directory"
    )
    parser.add_argument(
        "--method",
        choices=("auto", "encoder", "pixels"),
        default="auto",
        help="compare features of a pretrained encoder (extra `embeddings`) or pixels; "
        "auto takes both where the encoder is installed, else pixels",
    )
    parser.add_argument(
        "--calibrate",
        type=directory,
        metavar="IMAGES",
        help="calibrate by these normal images, instead of a part of the others",
    )
    parser.add_argument("--seed", type=whole_number(0, SEED), default=0)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a detector that is there"
    )


SCORE = """\
Exit status 3 with --fail where an image was called new or could not be read."""


def _score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=directory, metavar="DETECTOR")
    parser.add_argument("images", type=directory, metavar="IMAGES", help=IMAGES)
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--alpha",
        type=_level,
        metavar="SHARE",
        help="call an image new if its p-value is at most this: the share of normal "
        "images that are called new (0.01, or 0.05 where fewer than 99 calibrate)",
    )
    level.add_argument(
        "--fdr",
        type=_level,
        metavar="SHARE",
        help="of the images called new, at most this share is normal on average "
        "(Benjamini and Hochberg)",
    )
    parser.add_argument(
        "--out",
        type=directory,
        metavar="DIR",
        help="write decisions.csv, decisions.jsonl and report.html there",
    )
    parser.add_argument(
        "--fail", action="store_true", help="exit with status 3 if any image is new"
    )


WATCH = """\
PATH is a folder that fills, or - for JSON lines on standard input: {"path": FILE} or
{"vector": [...]}. A JSON line is printed for every image. While images come in any
order as those did that calibrated, an alarm for drift ever comes with a probability of
at most 1 / --alarm. Frames of one film do not come so: one is like the last."""


def _watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=directory, metavar="DETECTOR")
    parser.add_argument("path", metavar="PATH", help="a folder, or -")
    parser.add_argument("--alpha", type=_level, metavar="SHARE", help="as of score")
    parser.add_argument(
        "--alarm",
        type=number(1.0),
        default=100.0,
        metavar="WEALTH",
        help="a bet against what is normal that has grown to this says drift",
    )
    parser.add_argument(
        "--state",
        type=directory,
        metavar="FILE.npz",
        help="where to remember what was seen (DETECTOR/watch_NAME.npz)",
    )
    parser.add_argument(
        "--interval",
        type=number(),
        default=2.0,
        metavar="SECONDS",
        help="between looks",
    )
    parser.add_argument(
        "--once", action="store_true", help="score what is there, and end"
    )
    parser.add_argument(
        "--fail", action="store_true", help="end with status 3 at the alarm"
    )


EXPORT = """\
Read it with jax.export.deserialize(FILE's bytes).call(examples), which gives p-values,
scores and statistics. It needs JAX alone, and to write it the extra `export`.
FILE.json says what examples it takes."""


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("detector", type=directory, metavar="DETECTOR")
    parser.add_argument("--out", type=directory, required=True, metavar="FILE")
    parser.add_argument(
        "--platforms", default="cpu,cuda,tpu", help="separated by commas"
    )


def _level(text: str) -> float:
    """The type of a share between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1")
    return value


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status.

    0: done. 1: a defect, with its traceback. 2: it cannot be done, with a line that
    says why. 3: with --fail, an image is new. 128 + signal: interrupted.
    """
    streams.outlive()
    environment.use_all_cores()
    environment.keep_freed_memory()
    return streams.finished(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """`main`, in a process that is set up."""
    args = parser().parse_args(argv)
    if args.command is None:
        parser().print_help(sys.stderr)
        say("\nerror: no COMMAND given")
        return 2
    try:
        if "jax" not in sys.modules:
            environment.use_compilation_cache()
        with environment.interrupts_end():
            command = import_module(f"flowjax_ood.tool.{args.command}")
        with terminations():
            return command.run(args) or 0
    except KeyboardInterrupt as stop:
        again = "; run the same command again to go on"
        say("interrupted" + again * (args.command in ("fit", "watch")))
        return 128 + getattr(stop, "signum", signal.SIGINT)
    except UserError as error:
        say(f"error: {error}")
        return 2
    except Exception as error:
        said = of_the_machine(error)
        if not said:
            raise
        say(f"error: {said}")
        return 2

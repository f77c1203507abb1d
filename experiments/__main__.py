"""`python -m experiments COMMAND ...`: the door to all experiments."""

import argparse
import os
import sys
from pathlib import Path

from experiments import benchmark_arguments
from experiments.config import (
    UserError,
    known_configs,
    load_config,
    read_config,
    with_overrides,
)
from experiments.peers import arguments as peers_arguments
from experiments.startup import (
    EPILOG,
    keep_freed_memory,
    no_compilation_cache,
    use_compilation_cache,
)

# what `evaluate` may set: all but what the run was trained on
# (the training images are read again and refused if they are others)
EVALUATE_KEYS = (
    "data.test",
    "data.ood",
    "data.limit_test",
    "data.source",
    "data.path",
    "eval",
)


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments, but for `--config.KEY=VALUE`."""
    top = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Normalizing flows and out-of-distribution data, re-lived.",
        epilog="COMMAND --help says more. Start with: python -m experiments demo\n\n"
        + EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, summary: str, epilog: str = ""):
        return commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    demo = command(
        "demo", "train two small flows on clothing, score digits, write a report"
    )
    demo.add_argument(
        "--workdir",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="where report.html and all else goes (default: demo)",
    )
    demo.add_argument(
        "--fast", action="store_true", help="a minute's run that only shows it works"
    )
    train = command(
        "train",
        "train a flow by a config, or go on with it, then evaluate it",
        "--config.KEY=VALUE, any number of times, sets any key of the config:\n"
        "  --config.train.batch_size=64  --config.data.ood=mnist:test,mnist:train\n\n"
        "in experiments/configs:\n  " + "\n  ".join(known_configs()),
    )
    train.add_argument(
        "--config",
        required=True,
        metavar="FILE[:VARIANT]",
        help="such as experiments/configs/fashion_mnist_realnvp.py:smoke; its header "
        "names the variants",
    )
    evaluate = command(
        "evaluate",
        "evaluate the newest checkpoint of a run",
        "--config.KEY=VALUE, any number of times, sets keys of eval, and data.ood,\n"
        "data.test, data.limit_test, data.source and data.path:\n"
        "  --config.eval.seed=2  --config.data.ood=mnist:train",
    )
    benchmark = command(
        "benchmark",
        "measure the throughput of a config's model on fake images",
        benchmark_arguments.EPILOG,
    )
    benchmark_arguments.add_arguments(benchmark)
    peers = command(
        "peers",
        "measure our throughput beside that of other libraries",
        peers_arguments.EPILOG,
    )
    peers_arguments.add_arguments(peers)
    precision = command(
        "precision",
        "measure what lower precision does to the likelihoods of a run",
        "--config.KEY=VALUE sets the same keys as in evaluate",
    )
    for needs_run, text in (
        (train, "where the run is kept; one that is there already is gone on with"),
        (evaluate, "of the run; results.json and the figures there are replaced"),
        (precision, "of the run; precision.json there is replaced"),
    ):
        needs_run.add_argument(
            "--workdir", type=Path, required=True, metavar="DIR", help=text
        )
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


def use_all_cores() -> None:
    """On CPU, one JAX device per core: XLA's convolution gradients use one thread.

    Acts on this process if JAX is not imported yet, and on those it starts.
    """
    if "xla_force_host_platform" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    # a batch must divide over the devices: a power of two, at most 8
    devices = min(8, 1 << (cores.bit_length() - 1))
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(devices))


def run(argv: list[str]) -> int:
    """Run one command and return its exit status.

    0: done. 2: something asked for cannot be done, said in one line. 128 + signal:
    stopped, after saving where it was training.
    """
    arguments, overrides = split_overrides(argv)
    args = parser().parse_args(arguments)
    if args.command is None:
        parser().print_help(sys.stderr)
        print("\nerror: no COMMAND given", file=sys.stderr)
        return 2

    # after the arguments are understood: --help should not wait for JAX, which reads
    # the environment as it is imported
    if "jax" not in sys.modules:
        use_compilation_cache()
    from flowjax_ood.training.checkpoint import CheckpointError
    from flowjax_ood.training.loop import NonFiniteLossError
    from flowjax_ood.training.signals import Interrupted

    try:
        _perform(args, overrides)
    except (UserError, CheckpointError, NonFiniteLossError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(
            f"stopped by {stop}; the checkpoint is saved, run the same command again to"
            " go on",
            file=sys.stderr,
        )
        return stop.exit_code
    except KeyboardInterrupt:
        print("stopped by SIGINT outside of training; run it again", file=sys.stderr)
        return 130
    return 0


def _perform(args: argparse.Namespace, overrides: list[str]) -> None:
    from experiments import build, demo, evaluate, precision, train

    if args.command == "demo":
        if overrides:
            raise UserError("demo takes no --config keys; use train")
        demo.main(args.workdir, fast=args.fast)
    elif args.command == "train":
        train.main(load_config(args.config, overrides), args.workdir)
    elif args.command == "benchmark":
        from experiments import benchmark

        with no_compilation_cache():  # it times compilation
            benchmark.command(args, overrides)
    elif args.command == "peers":
        from experiments.peers.command import command

        if overrides:
            raise UserError("peers takes no --config keys")
        command(args)
    else:
        config = read_config(args.workdir)
        config = with_overrides(config, overrides, keys=EVALUATE_KEYS)
        sets = build.image_sets(config)
        found = evaluate.restore(config, args.workdir, sets)
        act = precision if args.command == "precision" else evaluate
        act.main(config, args.workdir, sets, found)


if __name__ == "__main__":
    use_all_cores()
    keep_freed_memory()
    sys.exit(run(sys.argv[1:]))

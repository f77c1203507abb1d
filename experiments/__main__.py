"""`python -m experiments COMMAND ...`: the door to all experiments."""

import argparse
import os
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Normalizing flows and out-of-distribution data, re-lived.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="train two small flows on clothing, score digits, write a report"
    )
    demo.add_argument("--workdir", type=Path, default=Path("demo"))
    demo.add_argument(
        "--fast", action="store_true", help="a minute's run that only shows it works"
    )
    train = commands.add_parser(
        "train", help="train a flow by a config, or go on with it, then evaluate it"
    )
    train.add_argument(
        "--config", required=True, metavar="FILE[:VARIANT]", help="experiments/configs/"
    )
    evaluate = commands.add_parser(
        "evaluate", help="evaluate the newest checkpoint of a run"
    )
    for command in (train, evaluate):
        command.add_argument("--workdir", type=Path, required=True)
        command.epilog = "Any config key can be set: --config.train.batch_size=64"
    return top


def split_overrides(argv: list[str]) -> tuple[list[str], list[str]]:
    """`--config.a.b=v` and `--config.a.b v` taken out of the arguments as `a.b=v`."""
    rest, overrides = [], []
    arguments = iter(argv)
    for argument in arguments:
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        override = argument.removeprefix("--config.")
        if "=" not in override:
            value = next(arguments, None)
            override = override if value is None else f"{override}={value}"
        overrides.append(override)
    return rest, overrides


def use_all_cores() -> None:
    """On CPU, one JAX device per core: XLA's convolution gradients use one thread."""
    import jax

    if os.environ.get("JAX_NUM_CPU_DEVICES") or "xla_force_host_platform" in (
        os.environ.get("XLA_FLAGS", "")
    ):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    # a batch must divide over the devices: a power of two, at most 8
    jax.config.update("jax_num_cpu_devices", min(8, 1 << (cores.bit_length() - 1)))


def run(argv: list[str]) -> int:
    arguments, overrides = split_overrides(argv)
    args = parser().parse_args(arguments)
    use_all_cores()

    from experiments import build, demo, evaluate, train
    from experiments.config import UserError, load_config, read_config, with_overrides
    from flowjax_ood.training.checkpoint import CheckpointError
    from flowjax_ood.training.loop import NonFiniteLossError
    from flowjax_ood.training.signals import Interrupted

    try:
        if args.command == "demo":
            if overrides:
                raise UserError("demo takes no --config keys; use train")
            demo.main(args.workdir, fast=args.fast)
        elif args.command == "train":
            train.main(load_config(args.config, overrides), args.workdir)
        else:
            config = read_config(args.workdir)
            config = with_overrides(config, overrides, rooms=("data", "eval"))
            sets = build.image_sets(config)
            found = evaluate.restore(config, args.workdir, sets)
            evaluate.main(config, args.workdir, sets, found)
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
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

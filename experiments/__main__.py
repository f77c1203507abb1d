"""`python -m experiments COMMAND ...`: the door to all experiments."""

import argparse
import os
import sys

from experiments import distributed
from experiments.arguments import parser
from experiments.config import UserError, load_config, with_overrides
from experiments.startup import (
    ignore_closed_loops,
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
    "data.ood_source",
    "data.ood_path",
    "data.altered",
    "data.channels",
    "eval",
)


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
    stopped, after saving where it was training. 75: another process of the run is gone.
    """
    arguments, overrides = split_overrides(argv)
    args = parser().parse_args(arguments)
    if args.command is None:
        parser().print_help(sys.stderr)
        print("\nerror: no COMMAND given", file=sys.stderr)
        return 2

    if args.command == "status":
        from experiments import status

        # answers before JAX would be there
        try:
            return status.command(args, overrides)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    # after the arguments are understood: --help should not wait for JAX, which reads
    # the environment as it is imported
    if "jax" not in sys.modules:
        use_compilation_cache()
    from jax.errors import JaxRuntimeError

    from flowjax_ood.training.checkpoint import CheckpointError
    from flowjax_ood.training.loop import NonFiniteLossError
    from flowjax_ood.training.processes import ProcessError
    from flowjax_ood.training.signals import Interrupted

    try:
        distributed.initialize(args)
        _perform(args, overrides)
    except (UserError, CheckpointError, NonFiniteLossError, ProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(
            f"stopped by {stop}; the checkpoint is saved, run the same command again to"
            " go on",
            file=sys.stderr,
        )
        return stop.exit_code
    except JaxRuntimeError as error:
        if not (message := distributed.lost_contact(error)):
            raise
        print(f"error: {message}", file=sys.stderr)
        return distributed.LOST
    except KeyboardInterrupt:
        print("stopped by SIGINT outside of training; run it again", file=sys.stderr)
        distributed.leave_others(130)
        return 130
    return 0


def _perform(args: argparse.Namespace, overrides: list[str]) -> None:
    from experiments import demo, evaluate, precision, train
    from experiments.kept_config import check_hosts, read_config
    from experiments.sets import load_sets
    from flowjax_ood.training.processes import on_all

    if args.command == "demo":
        if overrides:
            raise UserError("demo takes no --config keys; use train")
        demo.main(args.workdir, fast=args.fast)
    elif args.command == "train":
        watch = train.Watch(args.profile, args.tensorboard)
        train.main(load_config(args.config, overrides), args.workdir, watch)
    elif args.command == "ablate":
        from experiments import ablate

        ablate.main(load_config(args.config, overrides), args.workdir)
    elif args.command == "detect":
        from experiments import detect

        detect.main(load_config(args.config, overrides), args.workdir)
    elif args.command == "benchmark":
        from experiments import benchmark

        with no_compilation_cache():  # it times compilation
            benchmark.command(args, overrides)
    elif args.command == "samples":
        from experiments import samples, samples_arguments

        options = samples_arguments.options(args)
        configs = {
            workdir: with_overrides(read_config(workdir), overrides, keys=EVALUATE_KEYS)
            for workdir in options.workdirs
        }
        samples.main(configs, options)
    elif args.command == "report":
        from experiments import report

        if overrides:
            raise UserError("report takes no --config keys: it computes nothing anew")
        report.main(args.workdir, args.out)
    elif args.command == "peers":
        from experiments.peers.command import command

        if overrides:
            raise UserError("peers takes no --config keys")
        command(args)
    elif args.command == "embed":
        from experiments import embed

        if overrides:
            raise UserError("embed takes no --config keys")
        embed.command(args)
    else:
        config = read_config(args.workdir)
        config = with_overrides(config, overrides, keys=EVALUATE_KEYS)
        check_hosts(config)
        sets = on_all(lambda: load_sets(config, args.workdir))
        found = evaluate.restore(config, args.workdir, sets)
        if args.command == "inspect":
            from experiments import inspect, inspect_arguments

            options = inspect_arguments.options(args)
            inspect.main(config, args.workdir, sets, found, options)
            return
        act = precision if args.command == "precision" else evaluate
        act.main(config, args.workdir, sets, found)


if __name__ == "__main__":
    use_all_cores()
    keep_freed_memory()
    ignore_closed_loops()
    distributed.leave(lambda: run(sys.argv[1:]))

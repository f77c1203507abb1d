"""The commands of `python -m experiments` and their arguments; light to import."""

import argparse
import sys
from pathlib import Path

from experiments import benchmark as benchmark_arguments
from experiments import embed as embed_arguments
from experiments import inspect as inspect_arguments
from experiments import peers as peers_arguments
from experiments import samples as samples_arguments
from experiments import status as status_arguments
from experiments import train as train_module
from experiments.core import distributed, evaluation, training_run
from experiments.core.config import known_configs, load_config, with_overrides
from experiments.core.environment import (
    EPILOG,
    no_compilation_cache,
    use_compilation_cache,
)
from experiments.core.errors import UserError
from experiments.core.keys import EVALUATE_KEYS


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
    train_module.add_observation(train)
    distributed.add_arguments(train)
    ablate = command(
        "ablate",
        "train and evaluate every row of a grid, over several seeds; one table",
        "A config with a room `ablate` (seeds, grids) says which runs. Run again, it\n"
        "goes on; several processes with the same --workdir share the runs.\n"
        "--config.KEY=VALUE sets any key of all runs, and ablate.seeds:\n"
        "  --config.ablate.seeds=0,1,2,3,4",
    )
    evaluate = command(
        "evaluate",
        "evaluate the newest checkpoint of a run",
        "--config.KEY=VALUE, any number of times, sets keys of eval, and data.ood,\n"
        "data.ood_source, data.ood_path, data.altered, data.channels, data.test,\n"
        "data.limit_test, data.source and data.path:\n"
        "  --config.eval.draws=5  --config.data.ood=mnist:train\n"
        "  --config.data.ood=mnist,notmnist --config.data.ood_source=-,folder\n"
        "  --config.data.ood_path=-,DIR   (an entry a set; - is as for training)",
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
    ablate.add_argument(
        "--config",
        required=True,
        metavar="FILE[:VARIANT]",
        help="such as experiments/configs/fashion_mnist_ablation.py:smoke",
    )
    detect = command(
        "detect",
        "fit detectors to the features of classifiers, beside flows; one table",
        "Trains the networks in DIR/networks, or restores them. --config.KEY=VALUE\n"
        "sets any key; --config.detect.flows=DIR,DIR adds trained flows to the table.",
    )
    detect.add_argument(
        "--config",
        required=True,
        metavar="FILE[:VARIANT]",
        help="such as experiments/configs/fashion_mnist_detect.py:smoke",
    )
    for shared in (evaluate, detect):
        distributed.add_arguments(shared)
    inspect = command(
        "inspect",
        "look into a run's latents and couplings, in- and out-of-distribution",
        inspect_arguments.EPILOG,
    )
    inspect_arguments.add_arguments(inspect)
    samples = command(
        "samples",
        "draw samples of one run or several at several temperatures, in one figure",
        samples_arguments.EPILOG,
    )
    samples_arguments.add_arguments(samples)
    embed = command(
        "embed",
        "turn images into features of a pretrained encoder, in one .npz",
        embed_arguments.EPILOG,
    )
    embed_arguments.add_arguments(embed)
    report = command(
        "report",
        "make one page of one run or many: tables, spread over seeds, figures",
        "Leaves report.html, which holds its pictures, and report.md, its tables.\n"
        "Runs that differ in their seed alone are pooled. Nothing is computed anew:\n"
        "runs must be evaluated. `inspect`, `ablate` and `samples` are shown, too:\n"
        "  python -m experiments report --workdir runs/*",
    )
    report.add_argument(
        "--workdir",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="of a run, an ablation, or samples; any number",
    )
    report.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where both files go (default: `report` beside the first --workdir)",
    )
    status = command(
        "status",
        "show how runs are getting on: progress, ETA, last checkpoint, health",
        status_arguments.EPILOG,
    )
    status_arguments.add_arguments(status)
    for needs_run, text in (
        (train, "where the run is kept; one that is there already is gone on with"),
        (ablate, "where the runs (in runs/), the table and the figures are kept"),
        (detect, "where the networks, the table and the figures are kept"),
        (evaluate, "of the run; results.json and the figures there are replaced"),
        (precision, "of the run; precision.json there is replaced"),
        (inspect, "of the run; DIR/inspect is replaced"),
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
        from experiments.status import command as status

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

    from flowjax_ood.runtime.processes import ProcessError
    from flowjax_ood.runtime.signals import Interrupted
    from flowjax_ood.training.checkpoints.checkpoints import CheckpointError
    from flowjax_ood.training.loop import NonFiniteLossError

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
    from experiments.core.run_config import check_hosts, read_config
    from experiments.core.sets import load_sets
    from experiments.demo import command as demo
    from experiments.evaluate import command as evaluate
    from experiments.precision import command as precision
    from experiments.train import command as train
    from flowjax_ood.runtime.processes import on_all

    if args.command == "demo":
        if overrides:
            raise UserError("demo takes no --config keys; use train")
        demo.main(args.workdir, fast=args.fast)
    elif args.command == "train":
        watch = training_run.Observation(args.profile, args.tensorboard)
        train.main(load_config(args.config, overrides), args.workdir, watch)
    elif args.command == "ablate":
        from experiments.ablate import command as ablate

        ablate.main(load_config(args.config, overrides), args.workdir)
    elif args.command == "detect":
        from experiments.detect import command as detect

        detect.main(load_config(args.config, overrides), args.workdir)
    elif args.command == "benchmark":
        from experiments.benchmark import command as benchmark

        with no_compilation_cache():  # it times compilation
            benchmark.command(args, overrides)
    elif args.command == "samples":
        from experiments import samples as samples_arguments
        from experiments.samples import command as samples

        options = samples_arguments.options(args)
        configs = {
            workdir: with_overrides(read_config(workdir), overrides, keys=EVALUATE_KEYS)
            for workdir in options.workdirs
        }
        samples.main(configs, options)
    elif args.command == "report":
        from experiments.report import command as report

        if overrides:
            raise UserError("report takes no --config keys: it computes nothing anew")
        report.main(args.workdir, args.out)
    elif args.command == "peers":
        from experiments.peers.command import command

        if overrides:
            raise UserError("peers takes no --config keys")
        command(args)
    elif args.command == "embed":
        from experiments.embed import command as embed

        if overrides:
            raise UserError("embed takes no --config keys")
        embed.command(args)
    else:
        config = read_config(args.workdir)
        config = with_overrides(config, overrides, keys=EVALUATE_KEYS)
        check_hosts(config)
        sets = on_all(lambda: load_sets(config, args.workdir))
        found = evaluation.restore(config, args.workdir, sets)
        if args.command == "inspect":
            from experiments import inspect as inspect_arguments
            from experiments.inspect import command as inspect

            options = inspect_arguments.options(args)
            inspect.main(config, args.workdir, sets, found, options)
            return
        act = precision if args.command == "precision" else evaluate
        act.main(config, args.workdir, sets, found)

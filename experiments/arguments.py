"""The commands of `python -m experiments` and their arguments; light to import."""

import argparse
from pathlib import Path

from experiments import benchmark_arguments
from experiments.config import known_configs
from experiments.peers import arguments as peers_arguments
from experiments.startup import EPILOG


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

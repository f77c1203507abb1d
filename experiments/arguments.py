"""The commands of `python -m experiments` and their arguments; light to import."""

import argparse
from pathlib import Path

from experiments import (
    benchmark_arguments,
    distributed,
    embed_arguments,
    inspect_arguments,
    samples_arguments,
    status_arguments,
)
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
    status_arguments.add_observation(train)
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

"""`federated --config=FILE --workdir=DIR`: rows of all seeds, a stage each.

Writes results.json, table.md, federated.html and federated.png.
"""

import itertools
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from experiments.core.keys import Kind
from experiments.core.pixel_gaussian import NAME as PIXELS
from experiments.core.reports import leave
from experiments.core.results import versions
from experiments.core.systems import opened, stage, stage_file
from experiments.federated import measures
from experiments.federated.images import Images, load
from experiments.federated.page import document, figure
from experiments.federated.training import ROWS, Clients
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.runtime.progress import progress

PICTURE = "federated.png"
# directory of the rounds that are kept
ROUNDS = "rounds"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `federated`."""
    with opened(args, overrides, Kind.CLIENTS) as config:
        found = load(config)
        found.keep(args.workdir)
        seeds = range(config.seed, config.seed + config.clients.seeds)
        with user_errors("config.clients", ValueError):
            every = [Clients.of(config, found.train, seed) for seed in seeds]
        by_seed = _measured(every, found, args.workdir)
        rows = measures.summary(by_seed)
        results = {
            "config": config.to_dict(),
            "train": found.train.describe(),
            "test": found.test.describe(),
            "outliers": {name: of.describe() for name, of in found.outliers.items()},
            "seeds": [clients.seed for clients in every],
            "verdict": measures.verdict(rows),
            "rows": rows,
            "bytes_a_round": measures.traffic(every[0]),
            "by_seed": by_seed,
            "versions": versions(),
        }
        leave(
            *(args.workdir, results, "federated", PICTURE),
            *(lambda: figure(results), document, print_table),
        )


def _measured(
    every: Sequence[Clients], images: Images, workdir: Path
) -> list[dict[str, dict]]:
    """Measures of all rows of every seed, each a stage, computed or kept."""
    kept = sum(
        clients.rounds_of(row)
        if stage_file(workdir, _stage_name(clients, row)).exists()
        else clients.kept_rounds(row, workdir / ROUNDS)
        for clients in every
        for row in ROWS
    )
    total = sum(clients.rounds_of(row) for clients in every for row in ROWS)
    by_seed = []
    with progress("federated", total, "rounds", kept) as shown:
        done = itertools.count(kept + 1)

        def tick() -> None:
            shown.advance(next(done))

        for clients in every:
            compute = {
                row: partial(_row, clients, row, images, workdir, tick) for row in ROWS
            }
            compute[PIXELS] = partial(
                measures.pixels_of, clients, images.test, images.others
            )
            by_seed.append(
                {
                    row: stage(workdir, _stage_name(clients, row), of)
                    for row, of in compute.items()
                }
            )
    return by_seed


def _row(
    clients: Clients,
    row: str,
    images: Images,
    workdir: Path,
    tick: Callable[[], None],
) -> dict:
    trained = clients.trained(row, workdir / ROUNDS, tick)
    return measures.row_of(trained, images.test, images.others)


def _stage_name(clients: Clients, row: str) -> str:
    return f"seed_{clients.seed} {'pixels' if row == PIXELS else row}"


def print_table(results: dict) -> None:
    """Print AUROC by MSP of every row, and the difference to local heads."""
    score, of = measures.MAIN
    sets = list(results["rows"][0]["auroc"][score])
    lines = []
    for row in results["rows"]:
        line = [row["name"], text.share(row.get("accuracy", {}).get("mean"))]
        line += [text.decimals(row["auroc"][score][n]["mean"]) for n in sets]
        lines.append([*line, f"{row['difference'][score][of]['mean']:+.3f}"])
    headers = ["clients", "accuracy", *sets, f"difference, {of}"]
    text.print_table(headers, lines, title=f"AUROC by {score}", width=120)
    print(f"generated outliers: {results['verdict']}")

"""`federated --config=FILE --workdir=DIR`: rows of all seeds, a stage each.

Writes results.json, table.md, federated.html and federated.png.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence

from experiments.core.keys import Kind
from experiments.core.pixel_gaussian import NAME as PIXELS
from experiments.core.reports import leave
from experiments.core.results import versions
from experiments.core.set_names import ood_names
from experiments.core.systems import images, opened, stage
from experiments.federated import measures
from experiments.federated.page import document, figure
from experiments.federated.training import ROWS, Clients, rounds_of
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.runtime.progress import progress

PICTURE = "federated.png"


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `federated`."""
    with opened(args, overrides, Kind.CLIENTS) as config:
        c, data = config.clients, config.data
        train = images(config, data.train, data.limit_train)
        test = images(config, data.test, data.limit_test)
        names = ood_names(data.test, data.ood)
        sets = {
            name: images(config, spec, data.limit_test)
            for name, spec in zip(names, data.ood, strict=True)
        }
        others = {name: of.images for name, of in sets.items()}
        seeds = range(config.seed, config.seed + c.seeds)
        with user_errors("config.clients", ValueError):
            every = [Clients.of(config, train, seed) for seed in seeds]
        costs = rounds_of(config)
        by_seed = []
        done, total = 0, len(every) * sum(costs.values())
        with progress("federated", total, "rounds") as shown:
            for clients in every:
                by_seed.append({})
                for row in ROWS:
                    tick = _counting(shown, done)

                    def measured(row=row, clients=clients, tick=tick):
                        found = clients.trained(row, args.workdir / "rounds", tick)
                        return measures.row_of(found, test, others)

                    name = f"seed_{clients.seed} {row}"
                    by_seed[-1][row] = stage(args.workdir, name, measured)
                    done += costs[row]
                    shown.advance(done)
                by_seed[-1][PIXELS] = stage(
                    args.workdir,
                    f"seed_{clients.seed} pixels",
                    lambda clients=clients: measures.pixels_of(clients, test, others),
                )
        rows = measures.summary(by_seed)
        results = {
            "config": config.to_dict(),
            "train": train.describe(),
            "test": test.describe(),
            "outliers": {name: of.describe() for name, of in sets.items()},
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


def _counting(shown, done: int) -> Callable[[], None]:
    """A function that shows one more round at each call."""
    count = done

    def tick() -> None:
        nonlocal count
        count += 1
        shown.advance(count)

    return tick


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

"""`ablate --config=FILE[:VARIANT] --workdir=DIR`: train a grid of runs, in one table.

Every combination of the grids is trained once per seed, in DIR/runs/ROW/seed_N, an
ordinary run that `evaluate`, `inspect` and `report` take. Started again, the command
skips runs that are done and resumes those that were interrupted. Several processes may
share DIR: each run is done by one of them. ablation.json, .md and the figures are
written anew after every run.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments.ablate.grid import Cell, cells
from experiments.ablate.table import (
    FIGURES,
    TITLE,
    columns,
    figures_of,
    summary,
    write_markdown,
)
from experiments.core import build, drawing, run_outputs
from experiments.core.config import load_config
from experiments.core.data_identity import keep_data
from experiments.core.evaluation import evaluate
from experiments.core.json_file import Each, Maybe
from experiments.core.kept_results import read_results
from experiments.core.keys import Kind, kind
from experiments.core.results import write_json
from experiments.core.run_config import keep_config
from experiments.core.sets import Sets, load_sets
from experiments.core.training_run import train
from experiments.core.workdir import InUseError, check_writable, locked
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.training.logs.window import NonFiniteLossError

TO_THE_END = (
    "config.train.max_seconds is for `train`: the rows of a grid are trained to the "
    "end. Set it to 0; stopped with Ctrl-C or SIGTERM, a grid goes on where it was"
)
# shapes of what the table takes of results.json, besides what all commands do
ALSO = {"outlier_fraction": Each(float), "images_per_second": Maybe(float)}


def run(args: Namespace, overrides: Sequence[str]) -> None:
    """Run `ablate`."""
    main(load_config(args.config, overrides), args.workdir)


def main(config: ConfigDict, workdir: Path) -> None:
    """Do all runs that are not done, then write the table and the figures.

    Raises UserError before anything is trained for a row that cannot be, and at the
    end, after all others are done, for runs that diverged.
    """
    grid = cells(config)
    sets = _Sets()
    for cell in grid:
        first = next(iter(cell.configs.values()))
        if first.train.max_seconds:
            raise UserError(f"row {cell.name!r}: {TO_THE_END}")
        if kind(first) is Kind.VECTORS:
            raise UserError(
                f"row {cell.name!r}: {config.data.train} has vectors; the table is of "
                "bits/dim of images. `train` trains flows of vectors"
            )
        with user_errors(f"row {cell.name!r}", UserError):
            build.training(first, sets.of(first))
    check_writable("--workdir", workdir)
    _results(workdir, grid)  # a damaged one is named now, not after the next training
    runs = [(cell, seed) for seed in config.ablate.seeds for cell in grid]
    failed: dict[str, str] = {}
    elsewhere: dict[str, Path] = {}
    for number, (cell, seed) in enumerate(runs, 1):
        name, where = cell.run(seed), folder(workdir, cell, seed)
        label = f"[{number}/{len(runs)}] {name}"
        try:
            if _run(cell.configs[seed], where, sets, label):
                write(config, workdir, grid, failed)
        except NonFiniteLossError as error:
            # a result, too: the others go on
            failed[name] = str(error)
            print(f"{label}: {error}")
        except InUseError:
            elsewhere[name] = where / "results.json"
    content = write(config, workdir, grid, failed)
    text.print_table(*columns(content), title=TITLE)
    print(f"table and figures are in {workdir}")
    # by now the other process may be done with some
    if waiting := [name for name, file in elsewhere.items() if not file.is_file()]:
        print(f"in use by another process, left to it: {'; '.join(waiting)}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(runs)} runs diverged: {'; '.join(failed)}; try a "
            "smaller --config.optimizer.learning_rate in a new --workdir"
        )


def folder(workdir: Path, cell: Cell, seed: int) -> Path:
    """The workdir of a run."""
    return workdir / "runs" / cell.folder / f"seed_{seed}"


def write(config: ConfigDict, workdir: Path, grid: list[Cell], failed: dict) -> dict:
    """Write ablation.json, ablation.md and the figures of the runs that are done."""
    done = _results(workdir, grid)
    content = summary(config, grid, done, failed)
    write_json(workdir / "ablation.json", content)
    if content["rows"]:
        write_markdown(content, workdir / "ablation.md")
        drawn = figures_of(content)
        for name in FIGURES:
            if name in drawn:
                drawing.draw(workdir / f"{name}.png", drawn[name])
            else:
                # of other rows, by an earlier config
                (workdir / f"{name}.png").unlink(missing_ok=True)
    return content


def _results(workdir: Path, grid: list[Cell]) -> dict[str, dict]:
    """`{run: results.json}` of the runs that are done."""
    folders = {
        cell.run(seed): folder(workdir, cell, seed)
        for cell in grid
        for seed in cell.configs
    }
    return {
        run: read_results(where, ALSO)
        for run, where in folders.items()
        if (where / "results.json").is_file()
    }


def _run(config: ConfigDict, workdir: Path, sets: "_Sets", label: str) -> bool:
    """Train and evaluate a run; False if that was done before."""
    images = sets.of(config)
    if _done(config, workdir, images):
        # refuses those of other images
        keep_data(images.train, workdir, images.negative, **images.other_arrays)
        return False
    trained = train(config, workdir, images, label)
    # another process may have come between training and this
    with locked(workdir):
        if _done(config, workdir, images):
            return False
        results = run_outputs.leave(evaluate(trained))
    # programs of flows that are done with would fill the memory
    jax.clear_caches()
    areas = ", ".join(f"{name} {area:.3f}" for name, area in results["auroc"].items())
    bits = results["bits_per_dim"][results["in_distribution"]]
    print(f"{label}: {text.decimals(bits)} bits/dim, AUROC {areas}")
    return True


def _done(config: ConfigDict, workdir: Path, sets: Sets) -> bool:
    """Whether the run has results, evaluated as `config` asks for, of these sets."""
    if not (workdir / "results.json").is_file():
        return False
    keep_config(config, workdir)  # refuses the results of another config
    results = read_results(workdir, ALSO)
    # training images are compared by `keep_data`
    said, known = results["data"], sets.describe()
    return (
        results["eval"] == config.eval.to_dict()
        and results["auroc"].keys() == sets.ood.keys()
        and all(said.get(name) == known[name] for name in known if name != "train")
    )


class _Sets:
    """Image sets, read once for all runs on the same data."""

    def __init__(self):
        self._kept: tuple[tuple, Sets] | None = None

    def of(self, config: ConfigDict) -> Sets:
        # the seed draws fake images, splits tables, and says what is held back
        drawn = config.data.source == "synthetic" or kind(config) is Kind.VECTORS
        drawn = drawn or config.data.get("validation") or config.data.get("mutated")
        negative = [config.train.get(k) for k in ("negative", "negative_classes")]
        key = (config.data.to_json(), config.seed if drawn else None, *negative)
        if self._kept is None or key != self._kept[0]:
            self._kept = key, load_sets(config)
        return self._kept[1]

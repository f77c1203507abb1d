"""`train --config=FILE[:VARIANT] --workdir=DIR [--config.a.b=v]`: train, then evaluate.

Run again with the same arguments, it goes on from the newest checkpoint.
"""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments import build, evaluate
from experiments.ablate_grid import ROOM
from experiments.config import UserError
from experiments.kept_config import keep_config
from experiments.objective import rows
from experiments.sets import Sets, load_sets
from experiments.vector_sets import keep_standardizer
from experiments.workdir import keep_data, locked
from flowjax_ood.training.loop import Run, fit


def train(config: ConfigDict, workdir: Path, sets: Sets, label: str) -> Run:
    """Train the flow of `config` in `workdir`, or go on with it.

    Raises UserError before anything is written where `config` cannot be trained or
    `workdir` belongs to another, is in use, or began with other images; else what
    `fit` raises.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"{jax.process_count()} processes: training over several hosts is not "
            "supported yet; start one process, it uses all devices of its host"
        )
    if ROOM in config:
        raise UserError(
            f"the config describes a grid of runs (config.{ROOM}); use the command "
            "`ablate`"
        )
    if "detect" in config:
        raise UserError(
            "the config describes classifiers and detectors (config.detect); use the "
            "command `detect`"
        )
    parts = build.training(config, sets)
    keep_config(config, workdir)
    with locked(workdir):
        keep_data(sets.train, workdir, sets.negative)
        if sets.standardizer:
            keep_standardizer(sets.standardizer, workdir)
        return _fit(config, workdir, sets, parts, label)


def _fit(config, workdir, sets, parts, label) -> Run:
    c = config.train
    try:
        return fit(
            parts.initial,
            parts.step,
            build.batches(config, sets),
            key=parts.key,
            batch_size=rows(config, sets),
            num_steps=parts.num_steps,
            parallel=parts.parallel,
            workdir=workdir,
            log_every=c.log_every,
            checkpoint_every=c.checkpoint_every,
            keep_checkpoints=c.keep_checkpoints,
            validate=parts.validate,
            label=label,
        )
    except OSError as error:
        raise UserError(f"cannot write in --workdir {workdir}: {error}") from error
    except ValueError as error:
        # a metrics file or an argument that does not fit
        raise UserError(str(error)) from error


def main(config: ConfigDict, workdir: Path) -> None:
    """Train, or go on, until `config` is done; then evaluate."""
    sets = load_sets(config, workdir)
    run = train(config, workdir, sets, label=evaluate.run_name(workdir))
    # one step alone is compilation, which is not timed
    kind = "vectors" if sets.standardizer else "images"
    rate = f" at {run.images_per_second:.0f} {kind}/s" if run.images else ""
    best = ", the best of the validation set" if run.validation else ""
    print(f"trained to step {int(run.state.step)}{best}{rate}")
    evaluate.main(config, workdir, sets, run)

"""`train --config=FILE[:VARIANT] --workdir=DIR [--config.a.b=v]`: train, then evaluate.

Run again with the same arguments, it goes on from the newest checkpoint.
"""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from experiments import build, evaluate
from experiments.config import UserError, keep_config
from experiments.sets import Sets, load_sets
from experiments.workdir import keep_data, locked
from flowjax_ood.training.batches import image_batches
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
    parts = build.training(config, sets)
    keep_config(config, workdir)
    with locked(workdir):
        keep_data(sets.train, workdir)
        return _fit(config, workdir, sets, parts, label)


def _fit(config, workdir, sets, parts, label) -> Run:
    c = config.train
    try:
        return fit(
            parts.initial,
            parts.step,
            image_batches(sets.train.images, c.batch_size, config.seed),
            key=parts.key,
            batch_size=c.batch_size,
            num_steps=parts.num_steps,
            parallel=parts.parallel,
            workdir=workdir,
            log_every=c.log_every,
            checkpoint_every=c.checkpoint_every,
            keep_checkpoints=c.keep_checkpoints,
            label=label,
        )
    except OSError as error:
        raise UserError(f"cannot write in --workdir {workdir}: {error}") from error
    except ValueError as error:
        # a metrics file or an argument that does not fit
        raise UserError(str(error)) from error


def main(config: ConfigDict, workdir: Path) -> None:
    """Train, or go on, until `config` is done; then evaluate."""
    sets = load_sets(config)
    run = train(config, workdir, sets, label=evaluate.run_name(workdir))
    # one step alone is compilation, which is not timed
    rate = f" at {run.images_per_second:.0f} images/s" if run.images else ""
    print(f"trained to step {int(run.state.step)}{rate}")
    evaluate.main(config, workdir, sets, run)

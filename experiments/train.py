"""`train --config=FILE[:VARIANT] --workdir=DIR [--config.a.b=v]`: train, then evaluate.

Run again with the same arguments, it goes on from the newest checkpoint.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments import build, evaluate
from experiments.ablate_grid import ROOM
from experiments.config import UserError
from experiments.kept_config import check_config, check_hosts, keep_config
from experiments.objective import rows
from experiments.sets import Sets, load_sets
from experiments.vector_sets import keep_standardizer
from experiments.workdir import keep_data, locked
from flowjax_ood.training.loop import Run, fit
from flowjax_ood.training.processes import is_lead, on_all, on_lead
from flowjax_ood.training.profiling import StepProfiler
from flowjax_ood.training.sinks import TensorBoard


class Watch(NamedTuple):
    """How to look on while a run trains: steps to trace, and TensorBoard's files."""

    profile: tuple[int, int] | None = None
    tensorboard: bool = False


NOTHING = Watch()


def train(
    config: ConfigDict, workdir: Path, sets: Sets, label: str, watch: Watch = NOTHING
) -> Run:
    """Train the flow of `config` in `workdir`, or go on with it.

    Raises UserError before anything is written where `config` cannot be trained or
    `workdir` belongs to another, is in use, or began with other images; else what
    `fit` raises.
    """
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
    check_hosts(config)
    parts = build.training(config, sets)
    reading, sinks = build.feed_options(config), on_all(lambda: _sinks(watch, workdir))
    check_config(config, workdir)
    with locked(workdir), ExitStack() as stack:
        keep_data(sets.train, workdir, sets.negative, **sets.beside)
        if sets.standardizer:
            on_lead(lambda: keep_standardizer(sets.standardizer, workdir))
        # last, as it is written anew: a run that is refused must not change it
        keep_config(config, workdir)
        for sink in sinks:
            stack.callback(sink.close)
        profiler = None
        if watch.profile:
            profiler = StepProfiler(*watch.profile, workdir / "profile")
            stack.enter_context(profiler)
        looking = {"reading": reading, "sinks": sinks, "profiler": profiler}
        return _fit(config, workdir, sets, parts, label, **looking)


def _sinks(watch: Watch, workdir: Path) -> list:
    if not (watch.tensorboard and is_lead()):
        return []
    try:
        return [TensorBoard(workdir / "tensorboard")]
    except ImportError as error:
        raise UserError(f"--tensorboard: {error}") from error


def _fit(config, workdir, sets, parts, label, **looking) -> Run:
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
            steps_per_call=c.steps_per_call,
            validate=parts.validate,
            label=label,
            **looking,
        )
    except OSError as error:
        if str(workdir) not in str(error.filename or ""):
            # of the data, say
            raise UserError(f"{type(error).__name__}: {error}") from error
        raise UserError(f"cannot write in --workdir {workdir}: {error}") from error
    except ValueError as error:
        # a metrics file or an argument that does not fit
        raise UserError(str(error)) from error


def main(config: ConfigDict, workdir: Path, watch: Watch = NOTHING) -> None:
    """Train, or go on, until `config` is done; then evaluate."""
    # a host without the data would keep the others waiting
    sets = on_all(lambda: load_sets(config, workdir))
    run = train(config, workdir, sets, evaluate.run_name(workdir), watch)
    if is_lead():
        # one step alone is compilation, which is not timed
        kind = "vectors" if sets.standardizer else "images"
        rate = f" at {run.images_per_second:.0f} {kind}/s" if run.images else ""
        best = ", the best of the validation set" if run.validation else ""
        print(f"trained to step {int(run.state.step)}{best}{rate}")
    evaluate.main(config, workdir, sets, run)

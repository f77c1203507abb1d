"""Train the flow of a config in a workdir, or resume it."""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.build import rows
from experiments.core.errors import UserError, user_errors
from experiments.core.evaluation import TrainedFlow
from experiments.core.run_config import check_config, check_hosts, keep_config
from experiments.core.sets import Sets
from experiments.core.vector_sets import keep_standardizer
from experiments.core.workdir import keep_data, locked
from flowjax_ood.runtime.processes import is_lead, on_all, on_lead
from flowjax_ood.training.logs.profiling import StepProfiler
from flowjax_ood.training.logs.tensorboard import TensorBoard
from flowjax_ood.training.loop import Run, fit


class Observation(NamedTuple):
    """How to look on while a run trains: steps to trace, and TensorBoard's files."""

    profile: tuple[int, int] | None = None
    tensorboard: bool = False


NOTHING = Observation()


def train(
    config: ConfigDict,
    workdir: Path,
    sets: Sets,
    label: str,
    watch: Observation = NOTHING,
) -> TrainedFlow:
    """Train the flow of `config` in `workdir`, or go on with it.

    Raises UserError before anything is written where `config` cannot be trained or
    `workdir` belongs to another, is in use, or began with other images; else what
    `fit` raises.
    """
    if "ablate" in config:
        raise UserError(
            "the config describes a grid of runs (config.ablate); use the command "
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
        keep_data(sets.train, workdir, sets.negative, **sets.validation_arrays)
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
        run = _fit(config, workdir, sets, parts, label, **looking)
    return TrainedFlow(workdir, config, sets, run, label)


def _sinks(watch: Observation, workdir: Path) -> list:
    if not (watch.tensorboard and is_lead()):
        return []
    with user_errors("--tensorboard", ImportError):
        return [TensorBoard(workdir / "tensorboard")]


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

"""Train in a workdir, or resume what is there: flows and classifiers alike."""

import errno
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.data_identity import keep_data
from experiments.core.evaluation import TrainedFlow
from experiments.core.run_config import check_config, check_hosts, keep_config
from experiments.core.sets import Sets, keep_standardizer
from experiments.core.workdir import locked
from flowjax_ood.interface.errors import UserError, os_error, user_errors
from flowjax_ood.runtime.processes import is_lead, on_all, on_lead
from flowjax_ood.training.logs.profiling import StepProfiler
from flowjax_ood.training.logs.tensorboard import TensorBoard
from flowjax_ood.training.loop import Run, fit


def train(
    config: ConfigDict,
    workdir: Path,
    sets: Sets,
    label: str,
    **observed,
) -> TrainedFlow:
    """Train the flow of `config` in `workdir`, or resume it; as `run_training`."""
    others = {"ablate": "a grid of runs", "detect": "classifiers and detectors"}
    for command, described in others.items():
        if command in config:
            raise UserError(
                f"the config describes {described} (config.{command}); use the command "
                f"`{command}`"
            )
    check_hosts(config)
    made, arrays = build.training(config, sets), sets.other_arrays
    run = run_training(made, config, workdir, sets, label, arrays, **observed)
    return TrainedFlow(workdir, config, sets, run, label)


def run_training(
    training: build.Training,
    config: ConfigDict,
    workdir: Path,
    sets: Sets,
    label: str,
    arrays: dict[str, np.ndarray],
    *,
    free: tuple[str, ...] = (),
    profile: tuple[int, int] | None = None,
    tensorboard: bool = False,
) -> Run:
    """Run `training` in `workdir`, or resume it.

    Args:
        training: as `build.training` makes it from `config`.
        config: written to config.json; a run there must have the same.
        workdir: the directory of the run.
        sets: those of the config; data.json says which they are.
        label: the name of the run in its progress.
        arrays: all that training uses besides the training set and the negatives, by
            name in data.json: a resumed run must have the same.
        free: keys of the config that this training does not read, and may change.
        profile: the first and the last step to trace.
        tensorboard: whether to write TensorBoard's files, too.

    Raises:
        UserError: before anything is written where `workdir` belongs to another run, is
            in use, or began with other data.
        Exception: what `fit` raises.
    """
    last = training.plan.num_steps
    if profile and profile[0] > last:
        raise UserError(
            f"--profile={profile[0]}:{profile[1]}: training ends at step {last}; name "
            "steps up to it"
        )
    sinks = on_all(lambda: _sinks(workdir) if tensorboard else [])
    profiler = None
    if profile:
        with user_errors("--profile", ValueError):
            profiler = StepProfiler(*profile, workdir / "profile")
    check_config(config, workdir, free)
    with locked(workdir), ExitStack() as stack:
        keep_data(sets.train, workdir, sets.negative, **arrays)
        if standardizer := sets.standardizer:
            on_lead(lambda: keep_standardizer(standardizer, workdir))
        # last, as it is written anew: a run that is refused must not change it
        keep_config(config, workdir, free)
        for sink in sinks:
            stack.callback(sink.close)
        if profiler:
            stack.callback(profiler.close)
        try:
            return fit(
                **training._asdict(),
                workdir=workdir,
                sinks=sinks,
                profiler=profiler,
                label=label,
            )
        except OSError as error:
            said, own = os_error(error), str(workdir) in str(error.filename or "")
            # elsewhere, it is of the data, say; and what is full is written to
            if own or error.errno in (errno.ENOSPC, errno.EDQUOT):
                said = f"cannot write in --workdir {workdir}: {said}"
            raise UserError(said) from error
        except ValueError as error:
            # a metrics file or an argument that does not fit
            raise UserError(str(error)) from error


def _sinks(workdir: Path) -> list[TensorBoard]:
    if not is_lead():
        return []
    with user_errors("--tensorboard", ImportError, ValueError):
        return [TensorBoard(workdir / "tensorboard")]

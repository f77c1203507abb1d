"""The training loop, top to bottom."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

from flowjax_ood.training.checkpoint import Checkpoints
from flowjax_ood.training.early_stopping import EarlyStopping, Validation
from flowjax_ood.training.metric_log import MetricLog
from flowjax_ood.training.metric_window import (
    MetricWindow,
    NonFiniteLossError,
    check_metrics,
    check_state,
)
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.progress import progress
from flowjax_ood.training.signals import Interrupted, StopRequest
from flowjax_ood.training.state import TrainState

__all__ = ["Interrupted", "NonFiniteLossError", "Run", "fit"]


@dataclass(frozen=True)
class Run:
    """What a training run did.

    `seconds` and `images` are those of the timed steps of all its sessions: without
    the first step of each, which compiles, and without writing checkpoints. Of vectors,
    `images` counts those.

    With early stopping, `state` is that of the best validation score, and `validation`
    says which: `score`, its `step`, and `since`, how many scores came after it.
    """

    state: TrainState
    seconds: float
    images: int
    validation: dict | None = None

    @property
    def images_per_second(self) -> float:
        """Training throughput; NaN where no step was timed."""
        return self.images / self.seconds if self.seconds else math.nan


def fit(
    initial: Callable[[], TrainState],
    train_step: Callable,
    batches: Callable[[int], dict],
    *,
    key: jax.Array,
    batch_size: int,
    num_steps: int,
    parallel: Parallel,
    workdir: str | Path,
    log_every: int = 50,
    checkpoint_every: int = 1000,
    keep_checkpoints: int = 2,
    validate: Validation | None = None,
    label: str = "training",
) -> Run:
    """Train until step `num_steps`; `batches(k)` is what step k + 1 sees.

    A batch is a dict of numpy arrays of `batch_size` rows, as `train_step` reads it
    (`batches.image_batches` makes those of images).

    Goes on from the newest checkpoint in `workdir`, if there is one (`initial` is then
    traced for its shapes, not run); a run already there returns its state. A batch
    depends on its step alone and its noise on `(key, step)`, so a run that was
    interrupted ends bit for bit where an uninterrupted one does.

    A state is saved only if it is finite and so is the loss of the step after it.

    With `validate`, training may end early, and the best state is returned, which is
    kept in `workdir/best`; its scores are `validation` in the metrics.

    Raises `NonFiniteLossError` without saving the broken state; `Interrupted` after
    saving when SIGINT or SIGTERM arrives; `CheckpointError` for a damaged checkpoint or
    one of another model; OSError where `workdir` cannot be written; and ValueError for
    sizes that do not fit, all three before the first step.
    """
    _check_positive(
        num_steps=num_steps, log_every=log_every, checkpoint_every=checkpoint_every
    )
    if validate and validate.every > num_steps:
        raise ValueError(
            f"validating every {validate.every} steps, a training of {num_steps} steps "
            "is never validated; make it longer, or validate more often"
        )
    parallel.check_batch_size(batch_size)
    workdir = Path(workdir)
    log = MetricLog(workdir / "metrics.jsonl")
    log.create()
    step_fn = parallel.wrap_step(train_step)

    def batch_of(step):
        return parallel.place_batch(batches(step))

    with (
        Checkpoints(workdir / "checkpoints", keep_checkpoints) as checkpoints,
        EarlyStopping(validate, workdir) as early,
    ):
        window = MetricWindow(batch_size)
        if checkpoints.latest_step() is None:
            state, looked = initial(), {}
        else:
            state, facts = checkpoints.restore(jax.eval_shape(initial))
            looked = facts.pop("validation", {})
            window = MetricWindow(batch_size, **facts)
        start = int(state.step)
        early.resume_at(start, looked)
        log.resume_at(start)
        state = parallel.place_state(state)

        def save(done):
            # the loss tells of parameters gone astray only in the step after
            ahead = jax.tree.map(jnp.copy, state)  # the step takes what it is given
            _, metrics = step_fn(ahead, batch_of(done), key)
            check_metrics(jax.device_get(metrics), done + 1)
            host = jax.device_get(parallel.global_state(state))
            check_state(host, done)
            facts = {"seconds": window.seconds, "images": window.images}
            early.save()
            checkpoints.save(done, host, facts | early.facts())

        with (
            StopRequest() as stop,
            progress(label, num_steps, "steps", done=start) as shown,
        ):
            done = start
            last = start if early.exhausted else num_steps
            for done in range(start + 1, last + 1):
                state, metrics = step_fn(state, batch_of(done - 1), key)
                if parallel.one_at_a_time:
                    jax.block_until_ready((state, metrics))
                window.add(metrics)
                stopping = stop.signum  # read once: a signal may come at any line
                saving = stopping or done % checkpoint_every == 0 or done == num_steps
                if saving or early.due(done) or done % log_every == 0:
                    values = window.flush(done)
                    if early.due(done):
                        values["validation"] = early.look(
                            done, parallel.global_state(state)
                        )
                        saving = saving or early.exhausted
                        window.start_clock()
                    log.write(done, **values)
                    shown.advance(done, **_summary(values))
                if saving:
                    save(done)
                    window.start_clock()
                if stopping:
                    raise Interrupted(stopping, done)
                if early.exhausted:
                    break
            if stop.signum:
                # while the last checkpoint was written
                raise Interrupted(stop.signum, done)
        found = parallel.global_state(state)
        if early.step:
            found = early.best(jax.eval_shape(initial))
        return Run(found, window.seconds, window.images, **early.facts())


def _summary(values: dict) -> dict:
    unit = "img/s"
    if "accuracy" in values:
        shown = {"loss": f"{values['loss']:.3f}"}
        shown["accuracy"] = f"{100 * values['accuracy']:.1f} %"
    elif "bits_per_dim" in values:
        shown = {"bpd": f"{values['bits_per_dim']:.3f}"}
    else:
        shown, unit = {"nats": f"{-values['loss']:.3f}"}, "vectors/s"
    if "validation" in values:
        shown["validation"] = f"{values['validation']:.3f}"
    if "images_per_second" in values:
        shown["rate"] = f"{values['images_per_second']:.0f} {unit}"
    return shown


def _check_positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

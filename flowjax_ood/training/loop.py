"""The training loop, top to bottom."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import is_lead, on_lead
from flowjax_ood.runtime.progress import progress
from flowjax_ood.runtime.signals import Interrupted, StopRequest
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.early_stopping import EarlyStopping, Validation
from flowjax_ood.training.feed import Feed
from flowjax_ood.training.logs.events import RunEvents
from flowjax_ood.training.logs.metrics import MetricLog
from flowjax_ood.training.logs.window import (
    MetricWindow,
    NonFiniteLossError,
    check_metrics,
    check_state,
)
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
    batches: Callable[..., dict],
    *,
    key: jax.Array,
    batch_size: int,
    num_steps: int,
    parallel: Parallel,
    workdir: str | Path,
    log_every: int = 50,
    checkpoint_every: int = 1000,
    keep_checkpoints: int = 2,
    steps_per_call: int = 1,
    validate: Validation | None = None,
    reading: dict | None = None,
    sinks: Sequence = (),
    profiler: Any = None,
    label: str = "training",
) -> Run:
    """Train until step `num_steps`; `batches(k, part)` is what step k + 1 sees.

    A batch is a dict of numpy arrays of `batch_size` rows, as `train_step` reads it
    (`batches.image_batches` makes those of images), of which this process asks for its
    part. `reading` says how they are read ahead (of `Feed`, which see).

    Goes on from the newest checkpoint in `workdir`, if there is one (`initial` is then
    traced for its shapes, not run); a run already there returns its state. A damaged
    one is set aside with a warning, and the one before it is taken. A batch
    depends on its step alone and its noise on `(key, step)`, so a run that was
    interrupted ends bit for bit where an uninterrupted one does, on as many devices.

    A state is saved only if it is finite and so is the loss of the step after it; it is
    written while training goes on.

    `steps_per_call` steps are dispatched to the devices at a time. Logging, saving and
    validation come after the steps they are due at, whatever that number is, so one
    that divides those intervals makes the fewest programs.

    With `validate`, training may end early, and the best state is returned, which is
    kept in `workdir/best`; its scores are `validation` in the metrics.

    Metrics go to `workdir/metrics.jsonl`, and to `sinks`, which have its methods
    (`MetricLog`); what else happens, to `workdir/events.jsonl` (`event_log`). A
    `profiler` is told `before(first, count)` and `after(last, metrics)` of the steps
    of each call (`profiling.StepProfiler`).

    Of several processes, all call it alike, with one `workdir` on storage they share,
    where process 0 writes.

    Raises `NonFiniteLossError` without saving the broken state; `Interrupted` after
    saving when SIGINT or SIGTERM arrives, at any of the processes; `CheckpointError`
    for a damaged checkpoint without one before it, one of another model, and one that
    cannot be written; OSError where `workdir` cannot be written; and ValueError for
    sizes that do not fit, all but the third before the first step.
    """
    _check_positive(
        num_steps=num_steps,
        log_every=log_every,
        checkpoint_every=checkpoint_every,
        steps_per_call=steps_per_call,
    )
    if validate and validate.every > num_steps:
        raise ValueError(
            f"validating every {validate.every} steps, a training of {num_steps} steps "
            "is never validated; make it longer, or validate more often"
        )
    parallel.check_batch_size(batch_size)
    workdir = Path(workdir)
    log, events = MetricLog(workdir / "metrics.jsonl"), RunEvents(workdir)
    on_lead(log.create)
    one_step = parallel.wrap_step(train_step)
    many_steps = one_step
    if steps_per_call > 1:
        many_steps = parallel.wrap_step(train_step, scanned=True)
    if parallel.mode != "pmap" or parallel.part.count == 1:
        # once, not with every step; pmap of several processes takes each one's own
        key = parallel.place_copies(key)

    with (
        events.ending(),
        Checkpoints(
            workdir / "checkpoints",
            keep_checkpoints,
            background=True,
            written=events.checkpoint,
        ) as checkpoints,
        EarlyStopping(validate, workdir, keep_checkpoints) as early,
    ):
        window = MetricWindow(batch_size)
        checkpoints.clean()
        if checkpoints.latest_step() is None:
            state, looked = initial(), {}
        else:
            template = jax.eval_shape(initial)
            state, facts, aside = checkpoints.restore_newest(template)
            for damaged in aside:
                events.fallback(damaged, to=int(state.step))
            looked = facts.pop("validation", {})
            window = MetricWindow(batch_size, **facts)
        start = int(state.step)
        early.resume_at(start, looked)
        on_lead(lambda: log.resume_at(start))
        for sink in sinks if is_lead() else ():
            sink.resume_at(start)
        events.started(start, num_steps)
        state = parallel.place_state(state)
        feed = Feed(batches, start, part=parallel.part, **(reading or {}))

        def save(done):
            # the loss tells of parameters gone astray only in the step after
            ahead = jax.tree.map(jnp.copy, state)  # the step takes what it is given
            _, metrics = one_step(ahead, parallel.place_batch(feed.peek()), key)
            check_metrics(jax.device_get(metrics), done + 1)
            check_state(state, done)
            facts = {"seconds": window.seconds, "images": window.images}
            early.save()
            checkpoints.save(done, parallel.to_save(state), facts | early.facts())

        with (
            feed,
            StopRequest() as stop,
            progress(label, num_steps, "steps", done=start) as shown,
        ):
            done = start
            last = start if early.exhausted else num_steps
            intervals = [log_every, checkpoint_every]
            if validate:
                intervals.append(validate.every)
            while done < last:
                first, at_most = done + 1, min(done + steps_per_call, last)
                done = _next_stop(done, at_most, intervals)
                count = done - first + 1
                if profiler:
                    profiler.before(first, count)
                taken = feed.take(count)
                if count == 1:
                    batch = parallel.place_batch(taken[0])
                    state, metrics = one_step(state, batch, key)
                else:
                    batch = parallel.place_batch(taken)
                    state, metrics = many_steps(state, batch, key)
                if parallel.one_at_a_time:
                    jax.block_until_ready((state, metrics))
                if profiler:
                    profiler.after(done, metrics)
                window.add(metrics, count)
                stopping = stop.agreed()  # read once: a signal may come at any line
                saving = stopping or done % checkpoint_every == 0 or done == num_steps
                if saving or early.due(done) or done % log_every == 0:
                    values = window.flush(done, feed.waited)
                    if early.due(done):
                        values["validation"] = early.look(
                            done, parallel.global_state(state)
                        )
                        saving = saving or early.exhausted
                        window.start_clock()
                    if is_lead():
                        log.write(done, **values)
                        for sink in sinks:
                            sink.write(done, **values)
                    feed.reset_wait()
                    shown.advance(done, **_summary(values))
                if saving:
                    save(done)
                    window.start_clock()
                    feed.reset_wait()
                if stopping:
                    checkpoints.wait()
                    raise Interrupted(stopping, done)
                if early.exhausted:
                    break
            checkpoints.wait()
            if stopping := stop.at_end():
                # while the last checkpoint was written
                raise Interrupted(stopping, done)
        events.finished(done)
        found = parallel.global_state(state)
        if early.step:
            found = early.best(jax.eval_shape(initial))
        return Run(found, window.seconds, window.images, **early.facts())


def _next_stop(done: int, at_most: int, intervals: list[int]) -> int:
    """The step up to which to go at once: not past one at which something is due."""
    return min(at_most, *((done // every + 1) * every for every in intervals))


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

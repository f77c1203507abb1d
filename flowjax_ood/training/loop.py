"""The training loop, top to bottom."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from flowjax_ood.arguments import whole_number
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.paths import AnyPath, as_path
from flowjax_ood.runtime.processes import is_lead, on_lead
from flowjax_ood.runtime.progress import progress
from flowjax_ood.runtime.signals import Interrupted, StopRequest
from flowjax_ood.training.batches import Batches
from flowjax_ood.training.checkpoints import errors
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.early_stopping import EarlyStopping, Validation
from flowjax_ood.training.feed import IN_TURN, Feed, Prefetch
from flowjax_ood.training.logs.events import EventLog, read
from flowjax_ood.training.logs.metrics import MetricLog
from flowjax_ood.training.logs.profiling import StepProfiler
from flowjax_ood.training.logs.window import MetricWindow, check_metrics, check_state
from flowjax_ood.training.state import TrainState
from flowjax_ood.training.time_limit import TimeLimit


@dataclass(frozen=True)
class Plan:
    """How long to train, and at which steps metrics and states are written.

    Args:
        num_steps: the step at which training ends.
        log_every: steps between records of metrics, which are means over them.
        checkpoint_every: steps between checkpoints; the last step has one, too.
        keep_checkpoints: how many of them, the newest, are kept.
        steps_per_call: how many steps are dispatched to the devices at a time. Logging,
            saving and validation come after the steps they are due at, whatever that
            number is, so one that divides those intervals makes the fewest programs.
        max_seconds: of this session, compilation included; 0 is no limit. Training
            ends, saved, at the last record of metrics for which there is time.

    Raises ValueError for what is no whole number, or below 1, and for seconds that are
    negative or NaN.
    """

    num_steps: int
    log_every: int = 50
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    steps_per_call: int = 1
    max_seconds: float = 0.0

    def __post_init__(self):
        names = ("num_steps", "log_every", "checkpoint_every", "keep_checkpoints")
        for name in (*names, "steps_per_call"):
            whole_number(name, getattr(self, name), 1)
        if not self.max_seconds >= 0:
            raise ValueError(f"max_seconds must be at least 0, got {self.max_seconds}")

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due after `step`."""
        return step % self.checkpoint_every == 0 or step == self.num_steps

    def next_stop(self, done: int, validate: Validation | None = None) -> int:
        """The last step of the next call: not past one at which something is due."""
        intervals = [self.log_every, self.checkpoint_every]
        if validate:
            intervals.append(validate.every)
        due = [(done // every + 1) * every for every in intervals]
        return min(done + self.steps_per_call, self.num_steps, *due)


@dataclass(frozen=True)
class Run:
    """A training run that is done.

    `seconds` and `images` are those of the timed steps of all its sessions: without
    the first step of each, which compiles, and without writing checkpoints. Of vectors,
    `images` counts those. `out_of_time`: it ended before its last step, for the plan's
    `max_seconds`; the same call goes on.

    With early stopping, `state` is that of the best validation score, and `validation`
    says which: `score`, its `step`, and `since`, how many scores came after it.
    """

    state: TrainState
    seconds: float
    images: int
    validation: dict | None = None
    out_of_time: bool = False

    @property
    def images_per_second(self) -> float:
        """Training throughput; NaN where no step was timed."""
        return self.images / self.seconds if self.seconds else math.nan


def fit(
    initial: Callable[[], TrainState],
    train_step: Callable,
    batches: Batches,
    plan: Plan,
    *,
    key: jax.Array,
    batch_size: int,
    parallel: Parallel,
    workdir: str | AnyPath,
    validate: Validation | None = None,
    prefetch: Prefetch = IN_TURN,
    sinks: Sequence = (),
    profiler: StepProfiler | None = None,
    label: str = "training",
) -> Run:
    """Train until step `plan.num_steps`; `batches(k, part)` is what step k + 1 sees.

    Resumes from the newest checkpoint in `workdir`, if there is one (`initial` is then
    traced for its shapes, not run); a run already there returns its state. A damaged
    one is set aside with a warning, and the one before it is taken. A batch
    depends on its step alone and its noise on `(key, step)`, so a run that was
    interrupted ends bit for bit where an uninterrupted one does, on as many devices.

    A state is saved only if it is finite and so is the loss of the step after it; it is
    written while training goes on. Metrics go to `workdir/metrics.jsonl`; all else that
    happens, to `workdir/events.jsonl` (`logs.events`).

    Of several processes, all call it alike, with one `workdir` on storage they share,
    where process 0 writes.

    Args:
        initial: makes the state at step 0.
        train_step: as `make_train_step` makes it.
        batches: gives dicts of numpy arrays of `batch_size` rows, as `train_step` reads
            them (`batches.image_batches` makes those of images), of which this process
            asks for its part.
        plan: how long to train, and when to log and save.
        key: of the noise, the augmentation and the dropout of all steps.
        batch_size: rows of a batch, over all devices.
        parallel: the devices, and how a step is spread over them.
        workdir: the directory of the run.
        validate: with it, training may end early, and the best state is returned, which
            is kept in `workdir/best`; its scores are `validation` in the metrics.
        prefetch: how batches are read ahead.
        sinks: they have the methods of `MetricLog`, and get the same metrics.
        profiler: traces some of the steps.
        label: the name of the run in its progress.

    Raises:
        NonFiniteLossError: without saving the broken state.
        Interrupted: after saving, when SIGINT or SIGTERM arrives, at any process.
        CheckpointError: for a checkpoint that cannot be written and, before the first
            step, one of another model, damaged ones alone, or none where
            `workdir/events.jsonl` tells of some.
        OSError: before the first step, where `workdir` cannot be written.
        ValueError: before the first step, for sizes that do not fit.
    """
    if validate and validate.every > plan.num_steps:
        raise ValueError(
            f"validating every {validate.every} steps, a training of {plan.num_steps} "
            "steps is never validated; make it longer, or validate more often"
        )
    parallel.check_batch_size(batch_size)
    workdir, limit = as_path(workdir), TimeLimit(plan.max_seconds)
    log = MetricLog(workdir / "metrics.jsonl")
    events = EventLog(workdir / "events.jsonl")
    on_lead(log.create)
    with (
        events.ending(),
        Checkpoints(
            workdir / "checkpoints",
            plan.keep_checkpoints,
            background=True,
            written=events.checkpoint,
        ) as checkpoints,
        EarlyStopping(validate, workdir, plan.keep_checkpoints) as early,
    ):
        state, window = _restore(initial, checkpoints, early, events, batch_size)
        start = int(state.step)
        logs = [log, *sinks] if is_lead() else []
        on_lead(lambda: [each.resume_at(start) for each in logs])
        events.started(start, plan.num_steps)
        with (
            # the batch after the last one tells whether the last state is sound
            Feed(
                batches, start, prefetch, part=parallel.part, end=plan.num_steps + 1
            ) as feed,
            StopRequest() as stop,
            progress(label, plan.num_steps, "steps", done=start) as shown,
        ):
            trainer = _Trainer(
                train_step, state, key, parallel, feed, plan.steps_per_call, profiler
            )
            del state  # its copies are on the devices
            late = False
            while trainer.done < plan.num_steps and not early.exhausted:
                done = plan.next_stop(trainer.done, validate)
                window.add(*trainer.advance(done))
                stopping = stop.agreed()  # read once: a signal may come at any line
                saving = stopping or plan.saves(done)
                if saving or early.due(done) or done % plan.log_every == 0:
                    values = window.flush(done, feed.waited)
                    if early.due(done):
                        values["validation"] = early.look(
                            done, parallel.global_state(trainer.state)
                        )
                        saving = saving or early.exhausted
                        window.start_clock()
                    for each in logs:
                        each.write(done, **values)
                    late = limit.reached() and done < plan.num_steps
                    saving = saving or late
                    feed.waited = 0.0
                    shown.advance(done, **_summary(values))
                if saving:
                    trainer.check()
                    early.save()
                    facts = window.facts() | early.facts()
                    checkpoints.save(done, parallel.to_save(trainer.state), facts)
                    window.start_clock()
                    feed.waited = 0.0
                if stopping:
                    checkpoints.wait()
                    raise Interrupted(stopping, done)
                if late:
                    break
            checkpoints.wait()
            if stopping := stop.at_end():
                # while the last checkpoint was written
                raise Interrupted(stopping, trainer.done)
        ended = late and not early.exhausted
        events.write("out_of_time" if ended else "finished", step=trainer.done)
        if best := early.facts():
            state = early.best(jax.eval_shape(initial))
        else:
            state = parallel.global_state(trainer.state)
        return Run(state, **window.facts(), **best, out_of_time=ended)


def _restore(initial, checkpoints, early, events, batch_size):
    """`(state, window)` of the newest checkpoint, or of the start."""
    if checkpoints.latest_step() is None:
        on_lead(lambda: _check_new(checkpoints.directory, events.path))
    checkpoints.clean()
    if checkpoints.latest_step() is None:
        state, facts = initial(), {}
    else:
        state, facts, aside = checkpoints.restore_newest(jax.eval_shape(initial))
        for damaged in aside:
            events.fallback(damaged, to=int(state.step))
    early.resume_at(int(state.step), facts.pop("validation", {}))
    return state, MetricWindow(batch_size, **facts)


def _check_new(directory: AnyPath, history: AnyPath) -> None:
    """Raise CheckpointError where `directory` has lost the checkpoints of a run.

    Its metrics would be erased, and its steps trained again, without a word.
    """
    if errors.leads_nowhere(directory):
        raise errors.none_whole(directory)
    saved = 0
    for event in read(history):
        if event["event"] == "started" and not event.get("step"):
            saved = 0  # what was before was given up
        elif event["event"] == "checkpoint":
            saved = event.get("step", saved)
    # an event is written just before its checkpoint gets its final name
    if saved and not any(directory.glob("*.orbax-checkpoint-tmp*")):
        raise errors.lost(directory, saved)


class _Trainer:
    """The state on the devices after `done` steps, and the way to later ones."""

    def __init__(
        self,
        train_step: Callable,
        state: TrainState,
        key: jax.Array,
        parallel: Parallel,
        feed: Feed,
        steps_per_call: int,
        profiler: StepProfiler | None,
    ):
        self.done = int(state.step)
        self.state = parallel.place_state(state)
        self.parallel, self.feed = parallel, feed
        self.profiler = profiler
        self.one_step = parallel.wrap_step(train_step)
        if steps_per_call > 1:
            self.many_steps = parallel.wrap_step(train_step, scanned=True)
        if parallel.mode != "pmap" or parallel.part.count == 1:
            # once, not with every step; pmap of several processes takes each one's own
            key = parallel.place_copies(key)
        self.key = key

    def advance(self, last: int) -> tuple[dict, int]:
        """Make the steps up to `last` in one call; returns their metrics and number."""
        first, count = self.done + 1, last - self.done
        if self.profiler:
            self.profiler.before(first, count)
        taken = self.feed.take(count)
        batch = self.parallel.place_batch(taken[0] if count == 1 else taken)
        step = self.one_step if count == 1 else self.many_steps
        self.state, metrics = step(self.state, batch, self.key)
        if self.parallel.one_at_a_time:
            jax.block_until_ready((self.state, metrics))
        if self.profiler:
            self.profiler.after(last, metrics)
        self.done = last
        return metrics, count

    def check(self) -> None:
        """Raise NonFiniteLossError unless this state and the next loss are finite."""
        # the loss tells of parameters gone astray only in the step after
        ahead = jax.tree.map(jnp.copy, self.state)  # the step takes what it is given
        batch = self.parallel.place_batch(self.feed.peek())
        _, metrics = self.one_step(ahead, batch, self.key)
        check_metrics(jax.device_get(metrics), self.done + 1)
        check_state(self.state, self.done)


def _summary(values: dict) -> dict:
    unit = "img/s"
    if "accuracy" in values:
        accuracy = f"{100 * values['accuracy']:.1f} %"
        shown = {"loss": f"{values['loss']:.3f}", "accuracy": accuracy}
    elif "bits_per_dim" in values:
        shown = {"bpd": f"{values['bits_per_dim']:.3f}"}
    elif "squared_error" in values:
        shown = {
            k.replace("_", " "): f"{values[k]:.4f}" for k in ("loss", "squared_error")
        }
        unit = "rows/s"
    else:
        shown, unit = {"nats": f"{-values['loss']:.3f}"}, "vectors/s"
    if "validation" in values:
        shown["validation"] = f"{values['validation']:.3f}"
    if "images_per_second" in values:
        shown["rate"] = f"{values['images_per_second']:.0f} {unit}"
    return shown

"""The training loop, top to bottom."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flowjax_ood.data.batching import batch_indices
from flowjax_ood.training.checkpoint import Checkpoints
from flowjax_ood.training.metric_log import MetricLog
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.progress import progress
from flowjax_ood.training.signals import Interrupted, StopRequest
from flowjax_ood.training.state import TrainState


class NonFiniteLossError(RuntimeError):
    """The loss or its gradient became infinite or NaN; the message says what to try."""


@dataclass(frozen=True)
class Run:
    """What a training run did. `seconds` and `images` cover all its sessions."""

    state: TrainState
    seconds: float
    images: int

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds else math.nan


def fit(
    initial: Callable[[], TrainState],
    train_step: Callable,
    images: np.ndarray,
    *,
    key: jax.Array,
    seed: int,
    batch_size: int,
    num_steps: int,
    parallel: Parallel,
    workdir: str | Path,
    log_every: int = 50,
    checkpoint_every: int = 1000,
    keep_checkpoints: int = 2,
    label: str = "training",
) -> Run:
    """Train on `images`, uint8 `[N, H, W, C]`, until step `num_steps`.

    Goes on from the newest checkpoint in `workdir`, if there is one; the batch of a
    step depends on `(seed, step)` alone and its noise on `(key, step)`, so a run that
    was interrupted ends bit for bit where an uninterrupted one does.

    Raises `NonFiniteLossError` without saving the broken state, and `Interrupted` after
    saving when SIGINT or SIGTERM arrives. Timing leaves out compilation.
    """
    parallel.check_batch_size(batch_size)
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    log = MetricLog(workdir / "metrics.jsonl")
    step_fn = parallel.wrap_step(train_step)

    with Checkpoints(workdir / "checkpoints", keep_checkpoints) as checkpoints:
        state = initial()
        facts: dict[str, Any] = {"seconds": 0.0, "images": 0}
        if checkpoints.latest_step() is not None:
            state, facts = checkpoints.restore(state)
        start = int(state.step)
        log.resume_at(start)
        state = parallel.place_state(state)
        window = _Window(facts, batch_size)

        def save(step):
            checkpoints.save(step, parallel.global_state(state), window.facts())

        total = num_steps
        with (
            StopRequest() as stop,
            progress(label, total, "steps", done=start) as shown,
        ):
            for step in range(start, num_steps):
                at = batch_indices(len(images), batch_size, seed, step)
                batch = {"image": images[at], "index": at.astype(np.int32)}
                state, metrics = step_fn(state, parallel.place_batch(batch), key)
                window.add(metrics)
                done = step + 1
                save_now = done % checkpoint_every == 0 or done == num_steps
                if save_now or stop.signum or done % log_every == 0:
                    values = window.flush(done)
                    log.write(done, **values)
                    shown.advance(
                        done,
                        bpd=f"{values['bits_per_dim']:.3f}",
                        rate=f"{values['images_per_second']:.0f} img/s",
                    )
                if save_now or stop.signum:
                    save(done)
                if stop.signum and done < num_steps:
                    raise Interrupted(stop.signum, done)
        return Run(parallel.global_state(state), **window.facts())


class _Window:
    """Metrics since the last flush, and the clock over all sessions of a run."""

    def __init__(self, facts: dict, batch_size: int):
        self.seconds, self.images = facts["seconds"], facts["images"]
        self.batch_size = batch_size
        self.pending: list[dict] = []
        self.clock: float | None = None
        self.timed = 0

    def add(self, metrics: dict) -> None:
        self.pending.append(metrics)
        self.timed += 1
        if self.clock is None:
            # the first step compiles: wait for it and start the clock behind it
            jax.block_until_ready(metrics)
            self.clock, self.timed = time.monotonic(), 0

    def flush(self, step: int) -> dict:
        """Means of the pending metrics; NonFiniteLossError if one is not finite."""
        host = jax.device_get(self.pending)
        first = step - len(host)
        for i, metrics in enumerate(host):
            if not all(math.isfinite(float(v)) for v in metrics.values()):
                shown = ", ".join(f"{k} {float(v):.4g}" for k, v in metrics.items())
                raise NonFiniteLossError(
                    f"training diverged at step {first + i + 1} ({shown}). The last "
                    "good checkpoint is kept: lower the learning rate, add warm-up "
                    "steps, or use model.norm='none' with model.zero_init=True, and "
                    "train again"
                )
        now = time.monotonic()
        elapsed, images = now - self.clock, self.timed * self.batch_size
        self.seconds, self.images = self.seconds + elapsed, self.images + images
        self.pending, self.clock, self.timed = [], now, 0
        values = {k: float(np.mean([m[k] for m in host])) for k in host[0]}
        rate = images / elapsed if images else 0.0
        return values | {"images_per_second": rate, "seconds": self.seconds}

    def facts(self) -> dict:
        return {"seconds": self.seconds, "images": self.images}

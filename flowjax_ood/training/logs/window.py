"""Metrics between two log lines, and the clock of a run."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np


class NonFiniteLossError(RuntimeError):
    """Loss, gradient or state became infinite or NaN; the message says what to try."""

    def __init__(self, step: int, what: str):
        super().__init__(
            f"training diverged at step {step} ({what}). The last good checkpoint, if "
            "there is one, is kept: lower the learning rate, add warm-up steps, use "
            "Adam, or, for a RealNVP, model.norm='none' with model.zero_init=True, and "
            "train again in a new workdir"
        )
        self.step, self.what = step, what


class MetricWindow:
    """Metrics since the last `flush`, and the clock over all sessions of a run.

    `seconds` and `images` are those of timed steps. The first step of a session is not
    timed, as it compiles; nor is what happens between `flush` and `start_clock`.
    """

    def __init__(self, batch_size: int, seconds: float = 0.0, images: int = 0):
        self.batch_size = batch_size
        self.seconds, self.images = seconds, images
        self._pending: list[dict] = []
        self._clock: float | None = None
        self._timed = 0

    def facts(self) -> dict:
        """`seconds` and `images`, for a checkpoint to hold."""
        return {"seconds": self.seconds, "images": self.images}

    def add(self, metrics: dict, count: int = 1) -> None:
        """Add the metrics of a call: still on the devices, perhaps not computed.

        Scalars of a step, or `[count]` of several.
        """
        self._pending.append(metrics)
        self._timed += count
        if self._clock is None:
            jax.block_until_ready(metrics)
            self.start_clock()

    def start_clock(self) -> None:
        """Time from now on, and forget what was timed since the last `flush`."""
        self._clock, self._timed = time.monotonic(), 0

    def flush(self, step: int, waited: float = 0.0) -> dict:
        """Return means of the metrics up to `step`, and `seconds`.

        If any step was timed, also `images_per_second` and `input_wait`, the fraction
        of the time that was spent waiting for input (`waited` seconds). Raises
        NonFiniteLossError if a metric of any step is not finite.
        """
        host = [step for call in jax.device_get(self._pending) for step in _each(call)]
        for at, metrics in enumerate(host, start=step - len(host) + 1):
            check_metrics(metrics, at)
        now = time.monotonic()
        assert self._clock is not None, "the first `add` starts it"
        elapsed, images = now - self._clock, self._timed * self.batch_size
        if images:
            self.seconds, self.images = self.seconds + elapsed, self.images + images
        self._pending, self._clock, self._timed = [], now, 0
        values = {name: float(np.mean([m[name] for m in host])) for name in host[0]}
        if images:
            values["images_per_second"] = images / max(elapsed, 1e-9)
            values["input_wait"] = min(1.0, waited / max(elapsed, 1e-9))
        return values | {"seconds": self.seconds}


def check_metrics(metrics: dict, step: int) -> None:
    """Raise NonFiniteLossError unless all metrics of `step` are finite."""
    if not all(math.isfinite(float(value)) for value in metrics.values()):
        shown = ", ".join(f"{k} {float(v):.4g}" for k, v in metrics.items())
        raise NonFiniteLossError(step, shown)


def check_state(state, step: int) -> None:
    """Raise NonFiniteLossError unless all of the state after `step` is finite."""
    finite = jax.device_get(_all_finite(state))  # computed where the state lives
    for path, fine in jax.tree_util.tree_leaves_with_path(finite):
        if not fine:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise NonFiniteLossError(step, f"{name} is not finite after it")


@jax.jit
def _all_finite(state):
    return jax.tree.map(lambda a: jnp.isfinite(a).all(), state)


def _each(metrics: dict) -> list[dict]:
    """Split metrics `[K]` of a call into those of each step; scalars are of one."""
    values = {name: np.atleast_1d(value) for name, value in metrics.items()}
    return [dict(zip(values, step)) for step in zip(*values.values())]

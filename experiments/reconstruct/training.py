"""Flows trained level by level, in directories of their own; or trained further."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core.build import random_key
from experiments.reconstruct.pairs import Pairs
from flowjax_ood.data.batching import batch_indices
from flowjax_ood.models import WaveletFlow
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch
from flowjax_ood.training.batches import conditional_batches
from flowjax_ood.training.loop import Plan, fit
from flowjax_ood.training.objectives import (
    Likelihood,
    LikelihoodAndReconstruction,
    Objective,
)
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state, fine_tuning_state
from flowjax_ood.training.step import make_train_step

CLIP, WARMUP = 1.0, 20
# a run that is interrupted loses this many steps at most
SAVE_EVERY = 100
# pairs at a time where none is trained on
AT_ONCE = 50


def make_flow(
    config: ConfigDict, block: str, shape: tuple[int, int, int]
) -> WaveletFlow:
    """The conditional flow of `config.light_field`, of volumes of that shape."""
    c = config.light_field
    return WaveletFlow(
        shape,
        views=c.views,
        levels=c.levels,
        block=block,
        couplings=c.couplings,
        width=c.width,
        layers=c.layers,
        kernel=c.kernel,
    )


def train(
    flow: WaveletFlow,
    pairs: Pairs,
    config: ConfigDict,
    workdir: Path,
    label: str,
    *,
    steps: int,
    start: dict | None = None,
) -> dict:
    """Train all levels, coarsest first, or resume; variables by the level's name.

    Levels of details minimise `LikelihoodAndReconstruction`, of the weight of the
    config; the coarse regression, squares. `start`: variables to train further.
    """
    c = config.light_field
    spread = Parallel("jit", jax.devices()[:1])
    variables = {}
    for at, name in reversed(list(enumerate(flow.names))):
        which = "coarse" if name == "coarse" else at + 1
        level = flow.level(which)
        rows = {k: np.asarray(v) for k, v in flow.examples(which, *pairs).items()}
        schedule = make_schedule(
            c.learning_rate, "cosine", steps, warmup_steps=min(WARMUP, steps)
        )
        update = make_optimizer(schedule, clip_norm=CLIP, l2=0.0, scales_apart=False)
        keys = jax.random.split(random_key(config.seed + at))
        first = batch_indices(len(rows["x"]), c.batch_size, config.seed, 0)
        initial = _initial(level, update, keys[0], rows, first, start and start[name])
        objective: Objective = LikelihoodAndReconstruction(level, weight=c.weight)
        if which == "coarse":
            objective = Likelihood(level)
        run = fit(
            initial,
            make_train_step(objective, update),
            conditional_batches(rows["x"], rows["cond"], c.batch_size, config.seed),
            Plan(steps, min(50, steps), min(SAVE_EVERY, steps), keep_checkpoints=1),
            key=keys[1],
            batch_size=c.batch_size,
            parallel=spread,
            workdir=workdir / name,
            label=f"{label}, {name.replace('_', ' ')}",
        )
        variables[name] = fetch(run.state.variables())
    return {name: variables[name] for name in flow.names}


def _initial(level, update, key, rows: dict, first, start: dict | None) -> Callable:
    def initial():
        if start is not None:
            return fine_tuning_state(update, start)
        return create_state(level, update, key, rows["x"][first], rows["cond"][first])

    return initial


class Trained:
    """A flow with its variables: pairs to scores, measurements to volumes."""

    def __init__(self, flow: WaveletFlow, variables: dict):
        self.flow, self.variables = flow, variables
        self._log_prob = jax.jit(lambda v, x, y: flow.log_prob(v, x, y).total)
        self._reconstruct = jax.jit(flow.reconstruct)

    def score(self, pairs: Pairs) -> np.ndarray:
        """`log p(details | coarse, y)`, nats: float64 `[N]`."""
        return _in_batches(self._log_prob, self.variables, *pairs).astype(np.float64)

    def reconstruct(self, y: np.ndarray) -> np.ndarray:
        """The volume of latents 0 of every measurement: float32."""
        return _in_batches(self._reconstruct, self.variables, y)


def _in_batches(function: Callable, variables: dict, *arrays) -> np.ndarray:
    """Apply to `AT_ONCE` rows at a time, the last ones filled up: one compilation."""
    found, count = [], len(arrays[0])
    for start in range(0, count, AT_ONCE):
        at = np.minimum(np.arange(start, start + AT_ONCE), count - 1)
        found.append(np.asarray(function(variables, *(a[at] for a in arrays))))
    return np.concatenate(found)[:count]

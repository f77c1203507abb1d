"""Early stopping: train until the validation likelihood no longer rises, keep the best.

A flow on few or heavy-tailed vectors overfits within some epochs, its log-determinants
growing without end away from the data; a flow on images may diverge late in a long run.
The state that counts is that of the highest validation likelihood, which `fit` returns
and keeps in a directory of its own. Without patience, training goes to its last step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from flowjax_ood.runtime.paths import AnyPath, as_path
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.checkpoints.errors import ANEW, DamagedCheckpointError
from flowjax_ood.training.logs.window import NonFiniteLossError
from flowjax_ood.training.state import TrainState

# in a run's workdir; two are kept: the best of the newest checkpoint, and of the last
# but one
DIRECTORY, KEEP = "best", 2


@dataclass(frozen=True)
class Validation:
    """Score training by `score(variables)`, higher is better, every `every` steps.

    `score` is usually the mean log-likelihood of validation data in nats; `variables`
    are the averaged ones where there are any. Training ends once `patience` scores in a
    row were no better than the best; with `patience` 0, at its last step. Raises
    ValueError for numbers out of range.
    """

    score: Callable[[dict], float]
    every: int
    patience: int = 0

    def __post_init__(self):
        if self.every < 1 or self.patience < 0:
            raise ValueError(
                "validation needs every >= 1 and patience >= 0, got "
                f"every={self.every}, patience={self.patience}"
            )


class EarlyStopping:
    """The best state so far, and how long ago it was; all of it survives interruption.

    A checkpoint holds its `facts()`; `save()` comes before the checkpoint is written,
    so that every checkpoint's best state is on disk. Without a `validation` nothing is
    ever due.
    """

    def __init__(self, validation: Validation | None, workdir: AnyPath, keep: int):
        self.validation = validation
        # of the best state: its score and step, and how many scores came since
        self._best: dict = {}
        self._state: TrainState | None = None
        self._checkpoints: Checkpoints | None = None
        if validation:
            # as many as there are checkpoints, which name a best state each
            self._checkpoints = Checkpoints(workdir / DIRECTORY, max(keep, KEEP))

    def resume_at(self, step: int, facts: dict) -> None:
        """Resume from a checkpoint of `step` that holds `facts` as `validation`.

        Drops the best states of later steps. Raises CheckpointError where the best
        state that it names is damaged or gone: only it can be the result.
        """
        if self._checkpoints is None:
            return
        self._best = facts
        if facts:
            best = facts["step"]
            _check_there(self._checkpoints, best)
            if damage := self._checkpoints.damage(best):
                raise _unusable(self._checkpoints, best, f"damaged: {damage}")
        self._checkpoints.clean()
        self._checkpoints.drop_after(step)

    def facts(self) -> dict:
        """`{"validation": ...}` for a checkpoint to hold, JSON-able; or nothing."""
        return {"validation": self._best} if self._best else {}

    def due(self, step: int) -> bool:
        """Whether to `look` after this step."""
        return self.validation is not None and step % self.validation.every == 0

    @property
    def exhausted(self) -> bool:
        """Whether patience is at its end."""
        patience = self.validation.patience if self.validation else 0
        return 0 < patience <= self._best.get("since", 0)

    def look(self, step: int, state: TrainState) -> float:
        """Score the state after `step`, keep it if it is the best; returns the score.

        Raises NonFiniteLossError for a score that is not finite.
        """
        assert self.validation is not None, "nothing is ever due"
        score = float(self.validation.score(state.variables()))
        if not math.isfinite(score):
            raise NonFiniteLossError(step, f"validation score {score}")
        if self._best and score <= self._best["score"]:
            self._best = self._best | {"since": self._best["since"] + 1}
        else:
            self._best = {"score": score, "step": step, "since": 0}
            # copies: the next step is donated the arrays themselves
            self._state = jax.tree.map(np.array, jax.device_get(state))
        return score

    def save(self) -> None:
        """Write the best state unless it is on disk."""
        if self._state is None or self._checkpoints is None:
            return
        step = self._best["step"]
        if step not in self._checkpoints.steps():
            self._checkpoints.save(step, self._state, self.facts())

    def best(self, template: Any) -> TrainState:
        """The best state, from memory or from disk."""
        if self._state is not None:
            return self._state
        assert self._checkpoints is not None, "nothing was validated"
        return _restored(self._checkpoints, template, self._best["step"])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self._checkpoints:
            self._checkpoints.close()


def restore_best(workdir: str | AnyPath, template: Any, facts: dict) -> TrainState:
    """The best state that a checkpoint of `workdir` names in its `facts`.

    Raises CheckpointError where it is damaged or gone.
    """
    with Checkpoints(as_path(workdir) / DIRECTORY, KEEP) as checkpoints:
        return _restored(checkpoints, template, facts["step"])


def _restored(checkpoints: Checkpoints, template: Any, step: int) -> TrainState:
    _check_there(checkpoints, step)
    try:
        return checkpoints.restore(template, step)[0]
    except DamagedCheckpointError as error:
        raise _unusable(checkpoints, step, f"damaged: {error.reason}") from error


def _check_there(checkpoints: Checkpoints, step: int) -> None:
    if step not in checkpoints.steps():
        raise _unusable(checkpoints, step, "gone")


def _unusable(checkpoints: Checkpoints, step: int, why: str) -> CheckpointError:
    # no other checkpoint helps: the best state is trained once
    return CheckpointError(
        f"{checkpoints.directory / str(step)}, the state of the best validation score "
        f"so far, is {why}. Nothing was changed; {ANEW}"
    )

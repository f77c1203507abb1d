"""Checkpoints: orbax behind one small door."""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flowjax_ood.training import manifest


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read or written; says which, and what to do."""


class Checkpoints:
    """Checkpoints of one run in `directory`, the newest `keep` of them.

    Each holds a pytree of arrays and a small JSON-able dict. Writing is atomic: what
    an interrupted save leaves behind is never taken for a checkpoint. Every file's
    length and checksum are kept beside it, so damage is found before it is read.
    Looking for checkpoints writes nothing; the directory is made by the first save.
    """

    def __init__(self, directory: str | Path, keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep at least 1 checkpoint, not {keep}")
        # heavy, and not needed to import the library
        import orbax.checkpoint as ocp

        # orbax tells of every save in a dozen lines
        logging.getLogger("absl").setLevel(logging.WARNING)
        self.directory = Path(directory).absolute()
        self._args = ocp.args
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=False, enable_async_checkpointing=False
            ),
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "facts": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint, None where there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any, facts: dict) -> None:
        """Write `state` and `facts`; returns when they are on disk.

        Raises CheckpointError where a checkpoint of this step or a later one exists, as
        nothing is ever written over, and where the disk refuses.
        """
        latest = self.latest_step()
        if latest is not None and step <= latest:
            raise CheckpointError(
                f"{self.directory} holds a checkpoint of step {latest}; that of step "
                f"{step} is not written. Go on from step {latest}, or use a new workdir"
            )
        state = jax.tree.map(np.asarray, jax.device_get(state))
        items = self._args.Composite(
            state=self._args.StandardSave(state), facts=self._args.JsonSave(facts)
        )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._manager.save(step, args=items)
            self._manager.wait_until_finished()
            manifest.write(self._path(step))
        except Exception as error:
            raise CheckpointError(
                f"the checkpoint {self._path(step)} cannot be written "
                f"({_first_line(error)}); free space there or check its permissions, "
                "then run again: it goes on from the newest checkpoint"
            ) from error

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of all later steps."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)

    def restore(self, template: Any, step: int | None = None) -> tuple[Any, dict]:
        """`(state, facts)` of `step` (default: newest), the state as numpy arrays.

        `template`: a pytree of the same structure, shapes and dtypes; its arrays may be
        `jax.ShapeDtypeStruct`. Raises CheckpointError, changing nothing, where files
        are damaged or missing, or hold another model.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(
                f"no checkpoint in {self.directory}; train first, or check the workdir"
            )
        if step not in self.steps():
            raise CheckpointError(
                f"no checkpoint of step {step} in {self.directory}; it has those of "
                f"{self.steps() or 'no step'}"
            )
        damage = manifest.damage(self._path(step))
        if damage:
            raise self._damaged(step, damage)
        empty = jax.tree.map(lambda a: np.empty(np.shape(a), a.dtype), template)
        items = self._args.Composite(
            state=self._args.StandardRestore(empty), facts=self._args.JsonRestore()
        )
        try:
            mismatch = _difference(template, self._manager.item_metadata(step).state)
            restored = None if mismatch else self._manager.restore(step, args=items)
        except Exception as error:
            raise self._damaged(step, _first_line(error)) from error
        if mismatch:
            raise self._refused(
                step,
                f"it belongs to another model: {mismatch}",
                "use the config it was trained with, or a new workdir",
            )
        return restored.state, restored.facts

    def _path(self, step: int) -> Path:
        return self.directory / str(step)

    def _damaged(self, step: int, reason: str) -> CheckpointError:
        others = [s for s in self.steps() if s != step]
        remedy = (
            f"remove that directory to go on from step {max(others)}"
            if others
            else "there is no other one: remove that directory to start again"
        )
        return self._refused(step, f"it is damaged: {reason}", remedy)

    def _refused(self, step: int, reason: str, remedy: str) -> CheckpointError:
        return CheckpointError(
            f"the checkpoint {self._path(step)} cannot be restored, {reason}. Nothing "
            f"was changed; {remedy}"
        )

    def close(self) -> None:
        self._manager.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _difference(template: Any, metadata: Any) -> str:
    """The first leaf that differs between a pytree and the one that was saved."""
    wanted = _leaves(template)
    # older orbax gives the tree itself
    found = _leaves(getattr(metadata, "tree", metadata))
    for name in [*wanted, *found]:
        want, got = wanted.get(name), found.get(name)
        if want != got:
            return (
                f"{name} is {got or 'not in it'}, the model "
                f"{'needs ' + want if want else 'has none'}"
            )
    return ""


def _leaves(tree: Any) -> dict[str, str]:
    """`{"params.layer.kernel": "float32[3, 4]"}`, the same before and after saving."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): (
            f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]

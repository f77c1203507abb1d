"""Checkpoints: orbax behind one small door."""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read; the message says which, and what to do."""


class Checkpoints:
    """Checkpoints of one run in `directory`, the newest `keep` of them.

    Each holds a pytree of arrays and a small JSON-able dict. Writing is atomic: what
    an interrupted save leaves behind is never taken for a checkpoint.
    """

    def __init__(self, directory: str | Path, keep: int = 2):
        # heavy, and not needed to import the library
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.WARNING)
        self.directory = Path(directory).absolute()
        self._ocp = ocp
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint, None where there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, facts: dict) -> None:
        """Write `state` and `facts`; returns when they are on disk."""
        if step in self._manager.all_steps():
            return
        args = self._ocp.args
        state = jax.tree.map(np.asarray, jax.device_get(state))
        self._manager.save(
            step,
            args=args.Composite(
                state=args.StandardSave(state), facts=args.JsonSave(facts)
            ),
        )
        self._manager.wait_until_finished()

    def restore(self, template: Any, step: int | None = None) -> tuple[Any, dict]:
        """`(state, facts)` of `step` (default: newest), as numpy arrays.

        `template` is a pytree of the same structure, shapes and dtypes. Raises
        CheckpointError where the files are damaged, missing, or of another model.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(
                f"no checkpoint in {self.directory}; train first, or check the workdir"
            )
        args = self._ocp.args
        shapes = jax.tree.map(
            lambda a: np.empty(np.shape(a), getattr(a, "dtype", None)), template
        )
        try:
            restored = self._manager.restore(
                step,
                args=args.Composite(
                    state=args.StandardRestore(shapes), facts=args.JsonRestore()
                ),
            )
            mismatch = _difference(shapes, restored.state)
        except Exception as error:
            raise CheckpointError(self._explain(step, str(error))) from error
        if mismatch:
            raise CheckpointError(self._explain(step, mismatch))
        return restored.state, restored.facts

    def _explain(self, step: int, reason: str) -> str:
        others = [s for s in self._manager.all_steps() if s != step]
        where = self.directory / str(step)
        lines = reason.strip().splitlines() or ["unknown reason"]
        older = (
            f"remove that directory to go on from step {max(others)}"
            if others
            else "there is no older one: remove the directory to start again"
        )
        return (
            f"the checkpoint {where} cannot be restored ({lines[0][:300]}). It is "
            f"damaged or belongs to another model. Nothing was changed; {older}"
        )

    def close(self) -> None:
        self._manager.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _difference(expected: Any, found: Any) -> str:
    """What is wrong with the shapes of `found`; empty if nothing is."""
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(expected),
        jax.tree.leaves(found),
        strict=True,
    )
    for (path, want), got in pairs:
        if want.shape != got.shape or want.dtype != got.dtype:
            name = jax.tree_util.keystr(path)
            return (
                f"{name} is {got.dtype}{list(got.shape)}, the model needs "
                f"{want.dtype}{list(want.shape)}"
            )
    return ""

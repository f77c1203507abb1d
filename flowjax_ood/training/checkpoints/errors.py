"""The errors of checkpoints: what is wrong, and what to do about it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from flowjax_ood.runtime.messages import first_line
from flowjax_ood.runtime.paths import AnyPath

# the remedy where no checkpoint is left
ANEW = "restore it, or train again in a new workdir"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read or written; says which, and what to do."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint's files are not what was written; `reason` says how."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


def none_whole(directory: AnyPath, damaged: dict | None = None) -> CheckpointError:
    """Make the error for a directory with no checkpoint, or only `damaged` ones."""
    if isinstance(directory, Path) and leads_nowhere(directory):
        return CheckpointError(
            f"{directory} is a link to {directory.readlink()}, which is not there; "
            "mount or restore that"
        )
    if not damaged:
        return CheckpointError(
            f"no checkpoint in {directory}; train first, or check the workdir"
        )
    reasons = "; ".join(f"step {s}: {e.reason}" for s, e in damaged.items())
    return CheckpointError(
        f"no checkpoint in {directory} can be restored, all are damaged ({reasons}). "
        f"Nothing was changed; {ANEW}"
    )


def lost(directory: AnyPath, step: int) -> CheckpointError:
    """Make the error for a directory that held the checkpoint of `step`, and is empty.

    To start from nothing would erase what is known of the run.
    """
    return CheckpointError(
        f"no checkpoint in {directory}, where that of step {step} was written; {ANEW}"
    )


def leads_nowhere(path: AnyPath) -> bool:
    """Whether a path is a link to what is not there: to storage not mounted, say."""
    return path.is_symlink() and not path.exists()


def damaged(path: AnyPath, reason: str, whole: list[int]) -> DamagedCheckpointError:
    """`whole`: steps of the checkpoints there that are not damaged."""
    remedy = (
        f"`train` goes on from step {max(whole)}"
        if whole
        else f"there is no other one that is whole: {ANEW}"
    )
    error = refused(path, f"it is damaged: {reason}", remedy)
    return DamagedCheckpointError(str(error), reason)


def unreadable(path: AnyPath, error: Exception) -> CheckpointError:
    """Make the error for a checkpoint that the disk does not give."""
    return refused(
        path, f"it cannot be read: {first_line(error)}", "mend that and run again"
    )


def refused(path: AnyPath, reason: str, remedy: str) -> CheckpointError:
    """Make the error for a checkpoint that is not restored."""
    return CheckpointError(
        f"the checkpoint {path} cannot be restored, {reason}. Nothing was changed; "
        f"{remedy}"
    )


def unwritten(path: AnyPath, error: Exception) -> CheckpointError:
    """Make the error for a checkpoint that cannot be written."""
    return CheckpointError(
        f"the checkpoint {path} cannot be written ({first_line(error)}); free space "
        "there or check its permissions, then run again: it goes on from the newest "
        "checkpoint"
    )


def difference(template: Any, metadata: Any) -> str:
    """The first leaf that differs between a pytree and the one that was saved."""
    wanted = _leaves(template)
    # older orbax gives the tree itself
    saved = _leaves(getattr(metadata, "tree", metadata))
    for name in [*wanted, *saved]:
        want, got = wanted.get(name), saved.get(name)
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

"""Checkpoints: orbax behind one small door."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from flowjax_ood.training import manifest
from flowjax_ood.training.processes import ProcessError, is_lead, on_lead

# where damaged checkpoints are put, beside the directory of the good ones
ASIDE = "damaged_checkpoints"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read or written; says which, and what to do."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint's files are not what was written; `reason` says how."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


class Damaged(NamedTuple):
    """A checkpoint that was set aside: its step, what is wrong, where it is now."""

    step: int
    reason: str
    place: Path


class Checkpoints:
    """Checkpoints of one run in `directory`, the newest `keep` of them.

    Each holds a pytree of arrays and a small JSON-able dict. Writing is atomic: what
    an interrupted save leaves behind is never taken for a checkpoint. Every file's
    length and checksum are kept beside it, so damage is found before it is read.
    Looking for checkpoints writes nothing; the directory is made by the first save.

    With `background`, `save` returns once the arrays are copied, and a thread writes
    them; `written(step, seconds)` is told when they are on disk, on process 0.

    Of several processes, all do the same, on storage that they share. Process 0 says
    what is there, and arrays that are spread over processes are written by each.
    """

    def __init__(
        self,
        directory: str | Path,
        keep: int = 2,
        *,
        background: bool = False,
        written: Callable[[int, float], None] | None = None,
    ):
        if keep < 1:
            raise ValueError(f"keep at least 1 checkpoint, not {keep}")
        # heavy, and not needed to import the library
        import orbax.checkpoint as ocp

        class Manager(ocp.CheckpointManager):
            def reached_preemption(self, step: int) -> bool:
                # the loop asks, by a count of its own, which this must not disturb
                return False

        logging.getLogger("absl").addFilter(_not_orbax)
        self.directory = Path(directory).absolute()
        self.background = background
        self._written = written
        self._pending: int | None = None
        self._began = 0.0
        self._args = ocp.args
        callback = ocp.AsyncOptions(post_finalization_callback=self._seal)
        self._manager = Manager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                create=False,
                enable_async_checkpointing=background,
                async_options=callback if background else None,
            ),
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "facts": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        return sorted(on_lead(lambda: list(self._manager.all_steps())))

    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint, None where there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any, facts: dict) -> None:
        """Write `state` and `facts`; returns when they are on disk, or, in the
        background, when they are copied.

        Raises CheckpointError where a checkpoint of this step or a later one exists, as
        nothing is ever written over, and where the disk refuses: in the background, it
        is the next call that raises, `wait` at the latest.
        """
        self.wait()
        latest = self.latest_step()
        if latest is not None and step <= latest:
            raise CheckpointError(
                f"{self.directory} holds a checkpoint of step {latest}; that of step "
                f"{step} is not written. Go on from step {latest}, or use a new workdir"
            )
        state = jax.tree.map(_to_write, state)
        items = self._args.Composite(
            state=self._args.StandardSave(state), facts=self._args.JsonSave(facts)
        )
        self._pending, self._began = step, time.monotonic()
        try:
            on_lead(lambda: self.directory.mkdir(parents=True, exist_ok=True))
            self._manager.save(step, args=items)
            if not self.background:
                self._manager.wait_until_finished()
                self._seal()
        except Exception as error:
            raise self._unwritten(step, error) from error

    def wait(self) -> None:
        """Until what is written in the background is on disk, or CheckpointError."""
        if self._pending is None:
            return
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            raise self._unwritten(self._pending, error) from error
        self._pending = None

    def _seal(self) -> None:
        """Write the manifest of the checkpoint at hand, on process 0.

        In the background that is just before it gets its final name.
        """
        if not is_lead():
            return
        path = self._path(self._pending)
        if not path.is_dir():
            [path] = self.directory.glob(f"{self._pending}.*tmp*")
        manifest.write(path)
        if self._written:
            self._written(self._pending, time.monotonic() - self._began)

    def _unwritten(self, step: int, error: Exception) -> CheckpointError:
        self._pending = None
        return CheckpointError(
            f"the checkpoint {self._path(step)} cannot be written "
            f"({_first_line(error)}); free space there or check its permissions, "
            "then run again: it goes on from the newest checkpoint"
        )

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of all later steps."""
        for later in self.steps():
            if later > step:
                self._manager.delete(later)

    def clean(self) -> None:
        """Remove what interrupted saves left behind."""

        def remove():
            for path in self.directory.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)

        on_lead(remove)

    def restore_newest(self, template: Any) -> tuple[Any, dict, list[Damaged]]:
        """`(state, facts, set aside)` of the newest checkpoint that is whole.

        Damaged ones that are newer go to the directory `damaged_checkpoints` beside
        this one: nothing of them is lost, and training may write their steps again.
        Raises CheckpointError, changing nothing, where none is whole, there is none, or
        the newest whole one belongs to another model.
        """
        damaged, found = {}, None
        for step in reversed(self.steps()):
            try:
                found = self.restore(template, step)
            except DamagedCheckpointError as error:
                damaged[step] = error
                continue
            break
        if found is None:
            raise self._none_whole(damaged) if damaged else self._nothing_there()
        aside = [self._set_aside(step, e.reason) for step, e in damaged.items()]
        if aside:
            self._manager.reload()
        return *found, aside

    def _set_aside(self, step: int, reason: str) -> Damaged:
        def move() -> str:
            room = self.directory.parent / ASIDE
            room.mkdir(exist_ok=True)
            place = room / f"{step}"
            while place.exists():
                place = place.with_name(place.name + "+")
            self._path(step).rename(place)
            return str(place)

        return Damaged(step, reason, Path(on_lead(move)))

    def restore(self, template: Any, step: int | None = None) -> tuple[Any, dict]:
        """`(state, facts)` of `step` (default: newest), the state as numpy arrays.

        `template`: a pytree of the same structure, shapes and dtypes; its arrays may be
        `jax.ShapeDtypeStruct`. Raises CheckpointError, changing nothing, where files
        are damaged or missing, or hold another model.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise self._nothing_there()
        if step not in self.steps():
            raise CheckpointError(
                f"no checkpoint of step {step} in {self.directory}; it has those of "
                f"{self.steps() or 'no step'}"
            )
        try:
            damage = on_lead(lambda: manifest.damage(self._path(step)))
        except (OSError, ProcessError) as error:
            raise self._unreadable(step, error) from error
        if damage:
            raise self._damaged(step, damage)
        empty = jax.tree.map(lambda a: np.empty(np.shape(a), a.dtype), template)
        items = self._args.Composite(
            state=self._args.StandardRestore(empty), facts=self._args.JsonRestore()
        )
        try:
            mismatch = _difference(template, self._manager.item_metadata(step).state)
            restored = None if mismatch else self._manager.restore(step, args=items)
        except (PermissionError, MemoryError) as error:
            # of this process, and not of the files
            raise self._unreadable(step, error) from error
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

    def _nothing_there(self) -> CheckpointError:
        return CheckpointError(
            f"no checkpoint in {self.directory}; train first, or check the workdir"
        )

    def _none_whole(self, damaged: dict) -> CheckpointError:
        reasons = "; ".join(f"step {s}: {e.reason}" for s, e in damaged.items())
        return CheckpointError(
            f"no checkpoint in {self.directory} can be restored, all are damaged "
            f"({reasons}). Nothing was changed; move that directory away to start again"
        )

    def _damaged(self, step: int, reason: str) -> CheckpointError:
        others = [s for s in self.steps() if s != step]
        remedy = (
            f"`train` goes on from step {max(others)}"
            if others
            else "there is no other one: remove that directory to start again"
        )
        error = self._refused(step, f"it is damaged: {reason}", remedy)
        return DamagedCheckpointError(str(error), reason)

    def _unreadable(self, step: int, error: Exception) -> CheckpointError:
        return self._refused(
            step, f"it cannot be read: {_first_line(error)}", "mend that and run again"
        )

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


def _not_orbax(record: logging.LogRecord) -> bool:
    """Orbax tells of every save in a dozen lines, and of what it raises once more."""
    return "orbax" not in record.pathname or record.levelno >= logging.CRITICAL


def _to_write(leaf) -> Any:
    """An array as orbax takes it: whole, or the shards of one of several processes."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf
    # a copy: what is written in the background must not change, and what NumPy sees
    # of a CPU's own buffer would keep it from being donated
    return np.array(jax.device_get(leaf))


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

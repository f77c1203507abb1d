"""Save and restore the state of a run through orbax."""

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from flowjax_ood.runtime.messages import first_line
from flowjax_ood.runtime.paths import AnyPath, as_path
from flowjax_ood.runtime.processes import ProcessError, is_lead, on_lead
from flowjax_ood.training.checkpoints import errors
from flowjax_ood.training.checkpoints.errors import (
    CheckpointError,
    DamagedCheckpointError,
    difference,
)
from flowjax_ood.training.checkpoints.places import place_of


class Damaged(NamedTuple):
    """A checkpoint that was set aside: its step, what is wrong, where it is now."""

    step: int
    reason: str
    path: AnyPath


class Checkpoints:
    """Checkpoints of one run in `directory`, the newest `keep` of them.

    Each holds a pytree of arrays and a small JSON-able dict. Writing is atomic: what
    an interrupted save leaves behind is never taken for a checkpoint. Every file's
    length and checksum are kept with it, so damage is seen before it is read.
    Looking for checkpoints writes nothing; the directory is made by the first save.

    With `background`, `save` returns once the arrays are copied, and a thread writes
    them; `written(step, seconds)` is called when they are on disk, on process 0.

    Of several processes, all call alike, on storage that they share, a bucket among
    it (see `places`). Process 0 decides what is there. Arrays that are spread over
    processes are written by each, but for a bucket, where process 0 gathers them.

    Raises ValueError for `keep` below 1.
    """

    def __init__(
        self,
        directory: str | AnyPath,
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
                # the loop asks in its own way, which this must not disturb
                return False

            def _finalize(self, *args):
                # what failed is raised before orbax waits for processes that, where one
                # has failed, wait for another thing: for ten minutes, deaf to signals
                self._wait_for_checkpointers()
                super()._finalize(*args)

        logging.getLogger("absl").addFilter(_not_orbax)
        self._place = place_of(as_path(directory), keep)
        self.directory = self._place.directory
        self.background = background
        self._written = written
        self._pending: int | None = None
        self._began = 0.0
        self._args = ocp.args
        callback = ocp.AsyncOptions(post_finalization_callback=self._seal)
        self._manager = Manager(
            self._place.work,
            options=ocp.CheckpointManagerOptions(
                **self._place.options,
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
        return self._place.steps(self._manager)

    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint, None where there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any, facts: dict) -> None:
        """Write `state` and `facts`.

        Returns when they are on disk or, in the background, when they are copied.
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
        state = self._place.prepare(state)
        items = self._args.Composite(
            state=self._args.StandardSave(state), facts=self._args.JsonSave(facts)
        )
        self._pending, self._began = step, time.monotonic()
        try:
            on_lead(lambda: self.directory.mkdir(parents=True, exist_ok=True))
            self._place.together(lambda: self._write(step, items))
        except Exception as error:
            self._pending = None
            raise errors.unwritten(self._path(step), error) from error

    def _write(self, step: int, items: Any) -> None:
        if not self._place.saves():
            return
        self._manager.save(step, args=items)
        if not self.background:
            self._manager.wait_until_finished()
            self._seal()

    def wait(self) -> None:
        """Return once all is on disk; CheckpointError where it cannot be written."""
        if self._pending is None:
            return
        try:
            self._place.together(self._finish)
        except Exception as error:
            step, self._pending = self._pending, None
            raise errors.unwritten(self._path(step), error) from error
        self._pending = None

    def _finish(self) -> None:
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def _seal(self) -> None:
        """Make what was written a checkpoint, on process 0.

        In the background that is just before it gets its final name.
        """
        if not is_lead():
            return
        step = self._pending
        assert step is not None, "nothing is being written"
        path = self._place.work / str(step)
        if not path.is_dir():
            [path] = self._place.work.glob(f"{step}.*tmp*")
        self._place.seal(step, path)
        if self._written:
            self._written(step, time.monotonic() - self._began)

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of all later steps."""
        for later in self.steps():
            if later > step:
                self._place.delete(self._manager, later)

    def clean(self) -> None:
        """Remove what interrupted saves left behind."""
        self._place.clean()

    def restore_newest(self, template: Any) -> tuple[Any, dict, list[Damaged]]:
        """`(state, facts, set aside)` of the newest checkpoint that is whole.

        Damaged ones that are newer move to `damaged_checkpoints`, next to `directory`:
        nothing of them is lost, and training may write their steps again.
        Raises CheckpointError, changing nothing, where none is whole, there is none, or
        the newest whole one belongs to another model.
        """
        damaged = {}
        for step in reversed(self.steps()):
            try:
                restored = self.restore(template, step)
                break
            except DamagedCheckpointError as error:
                damaged[step] = error
        else:
            raise errors.none_whole(self.directory, damaged)
        paths = on_lead(lambda: [self._place.set_aside(step) for step in damaged])
        if paths:
            self._manager.reload()
        aside = [
            Damaged(step, error.reason, as_path(path))
            for (step, error), path in zip(damaged.items(), paths)
        ]
        return *restored, aside

    def restore(self, template: Any, step: int | None = None) -> tuple[Any, dict]:
        """`(state, facts)` of `step` (default: newest), the state as numpy arrays.

        `template`: a pytree of the same structure, shapes and dtypes; its arrays may be
        `jax.ShapeDtypeStruct`. Raises CheckpointError, changing nothing, where files
        are damaged or missing, or hold another model.
        """
        steps = self.steps()
        if step is None:
            if not steps:
                raise errors.none_whole(self.directory)
            step = steps[-1]
        if step not in steps:
            raise CheckpointError(
                f"no checkpoint of step {step} in {self.directory}; it has those of "
                f"{steps or 'no step'}"
            )
        path = self._path(step)
        if damage := self.damage(step):
            raise self._damaged(step, damage, steps)
        sealed = self._place.sealed(step)
        empty = jax.tree.map(lambda a: np.empty(np.shape(a), a.dtype), template)
        items = self._args.Composite(
            state=self._args.StandardRestore(empty), facts=self._args.JsonRestore()
        )
        try:
            mismatch = difference(template, self._manager.item_metadata(step).state)
            restored: Any = (
                None if mismatch else self._manager.restore(step, args=items)
            )
            if restored and not isinstance(restored.facts, dict):
                raise ValueError(f"its facts are {restored.facts!r}")
        except Exception as error:
            if sealed or isinstance(error, (PermissionError, MemoryError)):
                # its files are what was written: it is the reading that failed
                raise errors.unreadable(path, error) from error
            raise self._damaged(step, first_line(error), steps) from error
        if mismatch:
            raise errors.refused(
                path,
                f"it belongs to another model: {mismatch}",
                "use the config it was trained with, or a new workdir",
            )
        return restored.state, restored.facts

    def damage(self, step: int) -> str:
        """Say what is wrong with the files of a checkpoint; empty if nothing is.

        Raises CheckpointError where they cannot be read.
        """
        try:
            return self._place.damage(step)
        except (OSError, ProcessError) as error:
            raise errors.unreadable(self._path(step), error) from error

    def _damaged(self, step: int, reason: str, steps: list) -> DamagedCheckpointError:
        # without asking other processes, where it may be read
        others = [other for other in steps if other != step]
        whole = [other for other in others if self._place.whole(other)]
        return errors.damaged(self._path(step), reason, whole)

    def _path(self, step: int) -> AnyPath:
        return self.directory / str(step)

    def close(self) -> None:
        try:
            self._manager.close()
        finally:
            self._place.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        lost = kind is not None and issubclass(kind, jax.errors.JaxRuntimeError)
        if lost and jax.process_count() > 1:
            # orbax would wait for processes that are gone
            return
        self.close()


def _not_orbax(record: logging.LogRecord) -> bool:
    """Whether a log record is not orbax's, which logs every save in a dozen lines."""
    return "orbax" not in record.pathname or record.levelno >= logging.CRITICAL

"""Metrics in TensorBoard's event files, next to metrics.jsonl.

A sink has the interface of `MetricLog`: `resume_at(step)` before the first record of a
session, `write(step, **values)` as training goes, and `close()`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowjax_ood.runtime.messages import warn
from flowjax_ood.runtime.paths import AnyPath, on_disk


class TensorBoard:
    """Writes every number of a record as a scalar of TensorBoard into `directory`.

    `tensorboard --logdir DIR` shows them, with those of other runs below DIR. Each
    session leaves a file of its own; what an interrupted one wrote beyond the
    checkpoint it is resumed from is purged when they are shown. Records are on disk
    when `write` returns. Of several processes, process 0 writes.

    Raises ImportError without tensorboardX (`pip install -e '.[tensorboard]'`), which
    needs no TensorFlow, and ValueError for a bucket. A disk that refuses costs a line
    on standard error, not the training: metrics.jsonl has the same numbers.
    """

    def __init__(self, directory: str | AnyPath):
        try:
            from tensorboardX.record_writer import RecordWriter
        except ImportError as error:
            raise ImportError(
                "the TensorBoard sink needs tensorboardX, which is not installed: "
                "pip install -e '.[tensorboard]', or train without --tensorboard"
            ) from error
        self.directory = on_disk(directory, "TensorBoard's files")
        # tensorboardX's own SummaryWriter puts records in a queue of ten, which blocks
        # for good once the disk is full and its thread has died of it
        self._open_file = RecordWriter
        self._file: Any = None
        self._refused = False

    def resume_at(self, step: int) -> None:
        """Hide what earlier sessions wrote beyond `step`."""
        from tensorboardX.proto.event_pb2 import SessionLog

        start = SessionLog(status=SessionLog.START)
        self._add(step=step + 1, session_log=start)

    def write(self, step: int, **values) -> None:
        """Add a record; values that are no numbers are left out."""
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=name, simple_value=float(value))
            for name, value in values.items()
            if not isinstance(value, str)
        ]
        self._add(step=step, summary=Summary(value=scalars))

    def close(self) -> None:
        """Close the file; more records would begin another."""
        file, self._file = self._file, None
        if file is not None:
            with self._or_warning():
                file.close()

    def _add(self, **event) -> None:
        from tensorboardX.proto.event_pb2 import Event

        if self._refused:
            return
        with self._or_warning():
            if self._file is None:
                self.directory.mkdir(parents=True, exist_ok=True)
                # TensorBoard reads the files by name: later sessions last
                name = f"events.out.tfevents.{time.time_ns():019d}"
                self._file = self._open_file(str(self.directory / name))
                first = Event(wall_time=time.time(), file_version="brain.Event:2")
                self._file.write(first.SerializeToString())
            record = Event(wall_time=time.time(), **event)
            self._file.write(record.SerializeToString())
            self._file.flush()

    @contextmanager
    def _or_warning(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # closing fails, too, with what could not be written before
            if not self._refused:
                warn(
                    f"{self.directory} cannot be written ({error.strerror or error}); "
                    "training goes on, TensorBoard shows no more of it"
                )
            self._refused = True

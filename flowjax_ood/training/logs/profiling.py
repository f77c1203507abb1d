"""Traces of some steps of a run, made by `jax.profiler` on request."""

from contextlib import ExitStack

import jax

from flowjax_ood.runtime.messages import first_line, say, warn
from flowjax_ood.runtime.paths import AnyPath, on_disk


class StepProfiler:
    """Traces steps `first` to `last` (counted from 1, both included) into `directory`.

    The loop calls `before` and `after` around every call that trains a step or
    several; the calls that hold a step to profile are traced whole. Of several
    processes, process 0 traces, and its own devices alone. A session that starts
    beyond `last` traces nothing. Choose `first` past the first steps of a session:
    they compile.

    The trace is for TensorBoard (`pip install tensorboard xprof`), or, its
    `*.trace.json.gz`, for https://ui.perfetto.dev. One that cannot be made or written
    costs a line on standard error, not the training.

    Raises ValueError unless 1 <= first <= last, and for a bucket.
    """

    def __init__(self, first: int, last: int, directory: str | AnyPath):
        if not 1 <= first <= last:
            raise ValueError(
                f"steps to profile need 1 <= first <= last, got {first} and {last}"
            )
        self.first, self.last = first, last
        self.directory = on_disk(directory, "a trace")
        self._tracing = self._done = self._said = False
        self._annotation = ExitStack()
        self._previous = None

    def before(self, step: int, count: int = 1) -> None:
        """The next call runs `step` and the `count - 1` steps after it."""
        self._done |= step > self.last or jax.process_index() > 0
        if step + count > self.first and not self._tracing and not self._done:
            # steps still on their way are not among those asked for
            jax.block_until_ready(self._previous)
            try:
                jax.profiler.start_trace(str(self.directory))
                self._tracing = True
            except Exception as error:
                self._done = True
                self._warn(error)
        if self._tracing:
            mark = jax.profiler.StepTraceAnnotation("train", step_num=step)
            self._annotation.enter_context(mark)

    def after(self, step: int, outputs) -> None:
        """The call up to `step` returned; `outputs` are ready once it is computed.

        Arrays that are not donated to the next step: its metrics, not its state.
        """
        self._annotation.close()
        if self._tracing and step >= self.last:
            jax.block_until_ready(outputs)
            self.close()
        self._previous = None if self._done else outputs

    def close(self) -> None:
        """Write a trace that is still open; say so where none was made."""
        self._annotation.close()
        self._previous = None
        if not self._tracing:
            if not self._said and jax.process_index() == 0:
                self._said = True
                warn(f"no trace: steps {self.first} to {self.last} were not trained")
            return
        self._tracing, self._done, self._said = False, True, True
        try:
            jax.profiler.stop_trace()
            say(f"trace of the profiled steps: {self.directory}")
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        self._said = True
        warn(f"no trace in {self.directory} ({first_line(error)}); training goes on")

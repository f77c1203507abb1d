"""Traces of some steps of a run, made by `jax.profiler` on request."""

import re
import sys
from contextlib import ExitStack
from pathlib import Path

from flowjax_ood.runtime.messages import first_line, warn


def profiled_steps(text: str) -> tuple[int, int]:
    """`(first, last)` of `FIRST:LAST`, steps counted from 1, both included.

    Raises ValueError for anything else.
    """
    match = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    first, last = (int(n) for n in match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise ValueError(
            f"steps to profile are FIRST:LAST with 1 <= FIRST <= LAST, such as 20:24, "
            f"got {text!r}"
        )
    return first, last


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

    Raises ValueError unless 1 <= first <= last.
    """

    def __init__(self, first: int, last: int, directory: str | Path):
        if not 1 <= first <= last:
            raise ValueError(
                f"steps to profile need 1 <= first <= last, got {first} and {last}"
            )
        self.first, self.last = first, last
        self.directory = Path(directory)
        self._tracing = self._done = False
        self._annotation = ExitStack()
        self._previous = None

    def before(self, step: int, count: int = 1) -> None:
        """The next call runs `step` and the `count - 1` steps after it."""
        # the command line reads FIRST:LAST without waiting for JAX
        import jax

        self._done |= step > self.last or jax.process_index() > 0
        if step + count > self.first and not self._tracing and not self._done:
            # steps still on their way are not among those asked for
            jax.block_until_ready(self._previous)
            self._start()
        if self._tracing:
            mark = jax.profiler.StepTraceAnnotation("train", step_num=step)
            self._annotation.enter_context(mark)

    def after(self, step: int, outputs) -> None:
        """The call up to `step` returned; `outputs` are ready once it is computed.

        Arrays that are not donated to the next step: its metrics, not its state.
        """
        self._annotation.close()
        if self._tracing and step >= self.last:
            import jax

            jax.block_until_ready(outputs)
            self._stop()
        self._previous = None if self._done else outputs

    def close(self) -> None:
        """Write a trace that is still open; say so where none was made."""
        self._annotation.close()
        self._previous = None
        if self._tracing:
            self._stop()

    def _start(self) -> None:
        import jax

        try:
            jax.profiler.start_trace(str(self.directory))
            self._tracing = True
        except Exception as error:
            self._done = True
            self._warn(error)

    def _stop(self) -> None:
        import jax

        self._tracing, self._done = False, True
        try:
            jax.profiler.stop_trace()
        except Exception as error:
            self._warn(error)
            return
        print(f"trace of the profiled steps: {self.directory}", file=sys.stderr)

    def _warn(self, error: Exception) -> None:
        warn(f"no trace in {self.directory} ({first_line(error)}); training goes on")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

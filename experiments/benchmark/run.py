"""One case of a benchmark, measured: compiled, timed, its failures kept."""

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.benchmark.cases import Case
from experiments.benchmark.timing import time_round, warm_up
from experiments.benchmark.work import Counts, Work, arguments, build_work, fake_batch

# steps of a profile: what differs between them is seen, and the trace stays small
PROFILED = 3


class Startup(NamedTuple):
    """The cost before the first step: seconds, and memory per device in bytes.

    `first` is everything: tracing, lowering and compiling, which are None where a
    function compiles as it is first called (pmap), and so is its memory. Outputs that
    reuse the memory of donated arguments are not counted.
    """

    first: float
    trace: float | None = None
    lower: float | None = None
    compile: float | None = None
    temporary: int | None = None
    arguments: int | None = None
    outputs: int | None = None


@dataclass
class CaseRun:
    """A case with what has been measured of it so far."""

    case: Case
    # what tells it from the others, in a few words
    name: str
    counts: Counts
    startup: Startup | None = None
    rounds: list[list[float]] = field(default_factory=list)
    device_peak: int | None = None
    error: str | None = None
    call: Callable[[], object] | None = None

    @property
    def steps(self) -> int:
        """How many training steps a call takes; 1 of anything else."""
        return self.case.settings.get("steps_per_call", 1)

    def prepare(self) -> None:
        """Compile, and run what is not to be counted."""
        self.startup, self.call = prepare(build_work(self.case))

    def time(self, seconds: float) -> None:
        """Measure one more round."""
        self.rounds.append(time_round(self.call, seconds))

    def release(self) -> None:
        """Give back the memory of the compiled function and its arguments."""
        self.call = None

    @contextlib.contextmanager
    def failures_kept(self):
        """Turn exceptions inside into the `error` of this case."""
        try:
            yield
        except Exception as error:
            # an accelerator's errors (out of memory) say where they are from by
            # themselves; anything else is somebody's mistake, and shown with its place
            if not isinstance(error, jax.errors.JaxRuntimeError):
                traceback.print_exc()
            first = (str(error).splitlines() or [""])[0]
            self.error = f"{type(error).__name__}: {first}"
            self.release()


def prepare(work: Work) -> tuple[Startup, Callable[[], object]]:
    """Compile a case, and return what it took with a function that runs it once more.

    The seconds are a compiler's only without a persistent compilation cache.
    """
    args = arguments(work, fake_batch(work))
    spread = work.parallel
    if work.mode == "train":
        state, batch, key = args
        if work.steps > 1:
            batch = [batch] * work.steps
        if spread.mode != "pmap":
            key = spread.place_copies(key)
        args = (spread.place_state(state), spread.place_batch(batch), key)
        jitted = spread.wrap_step(work.fn, scanned=work.steps > 1)
    else:
        variables, *split = args
        args = (
            jax.device_put(variables, spread.replicated),
            jax.device_put(split[0], spread.split),
            *split[1:],
        )
        jitted = jax.jit(work.fn)
    held, donated = list(args), work.mode == "train"
    if hasattr(jitted, "lower"):
        startup, compiled = _compiled(jitted, args)
        call = _caller(compiled, held, donated)
        warm_up(call)
        return startup, call
    # pmap: compiled as it is first called; what the second call takes is the step's own
    call = _caller(jitted, held, donated)
    first = _seconds(call)
    return Startup(first=max(0.0, first - _seconds(call))), call


def profile(call: Callable[[], object], directory: Path) -> None:
    """Write a profiler trace of a few steps of what is compiled and warm."""
    with jax.profiler.trace(str(directory)):
        for number in range(PROFILED):
            with jax.profiler.StepTraceAnnotation("step", step_num=number):
                jax.block_until_ready(call())


def peak_bytes() -> int | None:
    """Most memory in use on any device since the process began; None if not known."""
    found = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [stats.get("peak_bytes_in_use") for stats in found]
    return None if None in peaks else max(peaks)


def _compiled(jitted, args):
    start = time.perf_counter()
    traced = jitted.trace(*args)
    after_trace = time.perf_counter()
    lowered = traced.lower()
    after_lower = time.perf_counter()
    compiled = lowered.compile()
    end = time.perf_counter()
    memory = compiled.memory_analysis()
    found = {}
    if memory is not None:
        found = {
            "temporary": int(memory.temp_size_in_bytes),
            "arguments": int(memory.argument_size_in_bytes),
            "outputs": int(memory.output_size_in_bytes - memory.alias_size_in_bytes),
        }
    seconds = {
        "first": end - start,
        "trace": after_trace - start,
        "lower": after_lower - after_trace,
        "compile": end - after_lower,
    }
    return Startup(**seconds, **found), compiled


def _caller(compiled, held: list, donated: bool):
    """A function of no arguments; with a donated state, each call goes on from it."""

    def call():
        out = compiled(*held)
        if donated:
            held[0] = out[0]
        return out

    return call


def _seconds(call) -> float:
    return time_round(call, 0)[0]

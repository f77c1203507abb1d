"""One case of a benchmark, measured: compiled, timed, its failures kept."""

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import jax

from experiments.benchmark.cases import Case
from experiments.benchmark.timing import time_round, warm_up
from experiments.benchmark.work import Counts, Work, arguments, build_work, fake_batch

MIB = 2**20


class Startup(NamedTuple):
    """The cost before the first step, as columns of a row; memory is per device.

    `startup_seconds` is everything: tracing, lowering and compiling, which are None
    where a function compiles as it is first called (pmap), and so is its memory.
    Outputs that reuse the memory of donated arguments are not counted.
    """

    startup_seconds: float
    trace_seconds: float | None = None
    lower_seconds: float | None = None
    compile_seconds: float | None = None
    temporary_mib: float | None = None
    argument_mib: float | None = None
    output_mib: float | None = None


@dataclass
class CaseRun:
    """A case with what has been measured of it so far."""

    case: Case
    # what tells it from the others, in a few words
    name: str
    # None where nothing but its time is wanted
    counts: Counts | None
    startup: Startup | None = None
    rounds: list[list[float]] = field(default_factory=list)
    device_peak: int | None = None
    error: str | None = None
    call: Callable[[], object] | None = None
    # what `call` runs; of pmap it is not known
    program: jax.stages.Compiled | None = None

    @property
    def steps(self) -> int:
        """How many training steps a call takes; 1 of anything else."""
        return self.case.settings.get("steps_per_call", 1)

    def prepare(self) -> None:
        """Compile, and run what is not to be counted."""
        prepared = prepare(build_work(self.case))
        self.startup, self.call, self.program = prepared

    def time(self, seconds: float) -> None:
        """Measure another round, after `prepare`."""
        assert self.call is not None
        self.rounds.append(time_round(self.call, seconds))

    def release(self) -> None:
        """Give back the memory of the compiled function and its arguments."""
        self.call = self.program = None

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


class Prepared(NamedTuple):
    """What the start took, a function that takes another step, and what it runs."""

    startup: Startup
    call: Callable[[], object]
    program: jax.stages.Compiled | None


def prepare(work: Work) -> Prepared:
    """Compile a case.

    The seconds are a compiler's only without a persistent compilation cache.
    """
    held, parallel = list(arguments(work, fake_batch(work))), work.parallel
    training = work.mode == "train"
    if training:
        state, batch, key = held
        if work.steps > 1:
            batch = [batch] * work.steps
        if parallel.mode != "pmap":
            key = parallel.place_copies(key)
        held = [parallel.place_state(state), parallel.place_batch(batch), key]
        program = parallel.wrap_step(work.fn, scanned=work.steps > 1)
    else:
        held[0] = jax.device_put(held[0], parallel.replicated)
        held[1] = jax.device_put(held[1], parallel.split)
        program = jax.jit(work.fn)

    def call():
        out = program(*held)
        if training:  # the state was donated: the next call goes on from this one
            held[0] = out[0]
        return out

    if hasattr(program, "lower"):
        startup, program = compiled(program, held)
        warm_up(call)
        return Prepared(startup, call, program)
    # pmap: compiled as it is first called; what the second call takes is the step's own
    (first,), (second,) = time_round(call, 0), time_round(call, 0)
    return Prepared(Startup(max(0.0, first - second)), call, None)


def peak_bytes() -> int | None:
    """Most memory in use on any device since the process began; None if not known."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if any("peak_bytes_in_use" not in known for known in stats):
        return None
    return max(known["peak_bytes_in_use"] for known in stats)


def compiled(jitted, args) -> tuple[Startup, jax.stages.Compiled]:
    """Compile a function for its arguments, or for their shapes; what that took."""
    times = [time.perf_counter()]
    traced = jitted.trace(*args)
    times.append(time.perf_counter())
    lowered = traced.lower()
    times.append(time.perf_counter())
    program = lowered.compile()
    times.append(time.perf_counter())
    sizes: tuple[float, ...] = ()
    memory = program.memory_analysis()
    if memory is not None:
        outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
        sizes = memory.temp_size_in_bytes, memory.argument_size_in_bytes, outputs
    stages = (after - before for before, after in pairwise(times))
    return Startup(
        times[-1] - times[0], *stages, *(size / MIB for size in sizes)
    ), program

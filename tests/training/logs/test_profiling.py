"""Traces hold the steps asked for, one by one or in chunks; none is left open."""

import gzip
import json
from contextlib import closing

import jax
import jax.numpy as jnp
import pytest

from flowjax_ood.training.logs.profiling import StepProfiler


@pytest.mark.parametrize(("first", "last"), [(0, 3), (4, 3), (-1, -1)])
def test_a_profiler_of_no_steps_is_refused(tmp_path, first, last):
    with pytest.raises(ValueError, match=f"got {first} and {last}"):
        StepProfiler(first, last, tmp_path)


@pytest.fixture
def tracer(monkeypatch):
    """What is asked of `jax.profiler`, in order, without tracing."""
    asked = []

    def start(directory):
        asked.append("start")

    monkeypatch.setattr(jax.profiler, "start_trace", start)
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: asked.append("stop"))
    return asked


def run(profiler, asked, chunks):
    """Call the hooks as the loop does; a chunk is `(step, count)`."""
    for step, count in chunks:
        profiler.before(step, count)
        asked.append(step)
        profiler.after(step + count - 1, jnp.zeros(()))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([(k, 1) for k in range(1, 8)], [1, 2, "start", 3, 4, 5, "stop", 6, 7]),
        # several steps a call: the calls that hold one of them
        ([(1, 4), (5, 4), (9, 4)], ["start", 1, 5, "stop", 9]),
        ([(1, 2), (3, 3), (6, 2)], [1, "start", 3, "stop", 6]),
        ([(1, 8), (9, 8)], ["start", 1, "stop", 9]),
        # a run that goes on in the midst of them, and beyond them
        ([(4, 1), (5, 1), (6, 1)], ["start", 4, 5, "stop", 6]),
        ([(6, 1), (7, 1)], [6, 7]),
    ],
)
def test_calls_that_hold_a_step_to_profile_are_traced(
    tmp_path, tracer, capsys, chunks, expected
):
    with closing(StepProfiler(3, 5, tmp_path)) as profiler:
        run(profiler, tracer, chunks)
    assert tracer == expected
    # and where none is, that is said
    none = "warning: no trace: steps 3 to 5 were not trained\n"
    assert (none in capsys.readouterr().err) == ("start" not in tracer)


def test_an_open_trace_is_stopped_once_however_training_ends(tmp_path, tracer):
    profiler = StepProfiler(2, 9, tmp_path)
    run(profiler, tracer, [(1, 1), (2, 1)])
    profiler.before(3)  # and the step raises
    profiler.close()
    profiler.close()
    assert tracer == [1, "start", 2, "stop"]


def test_steps_already_on_their_way_are_not_traced(tmp_path, tracer, monkeypatch):
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", lambda tree: waited.append(tree))
    with closing(StepProfiler(3, 3, tmp_path)) as profiler:
        for step in (1, 2, 3, 4):
            profiler.before(step)
            profiler.after(step, f"metrics {step}")
    assert waited == ["metrics 2", "metrics 3"]


def test_other_processes_trace_nothing(tmp_path, tracer, monkeypatch, capsys):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with closing(StepProfiler(1, 2, tmp_path)) as profiler:
        run(profiler, tracer, [(1, 1), (2, 1)])
    assert tracer == [1, 2]
    assert not capsys.readouterr().err


@pytest.mark.parametrize("broken", ["start_trace", "stop_trace"])
def test_a_trace_that_fails_is_a_warning(tmp_path, tracer, monkeypatch, capsys, broken):
    def fail(*_):
        raise RuntimeError("No space left\nand more")

    monkeypatch.setattr(jax.profiler, broken, fail)
    with closing(StepProfiler(1, 2, tmp_path)) as profiler:
        run(profiler, tracer, [(1, 1), (2, 1), (3, 1)])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no trace in {tmp_path} (No space left); training goes on" in line


@pytest.mark.thorough
def test_a_trace_marks_its_steps(tmp_path, capsys):
    square = jax.jit(lambda x: x @ x)
    x = square(jnp.eye(8))
    with closing(StepProfiler(3, 4, tmp_path)) as profiler:
        for step in range(1, 7):
            profiler.before(step)
            x = square(x)
            profiler.after(step, x)
    assert str(tmp_path) in capsys.readouterr().err
    (file,) = tmp_path.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    marked = [e["args"]["step_num"] for e in events if e.get("name") == "train"]
    assert sorted({int(n) for n in marked}) == [3, 4]

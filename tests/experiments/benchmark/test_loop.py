"""How long a benchmark still takes."""

import pytest

from experiments.benchmark import loop
from experiments.benchmark.loop import RemainingTime
from tests.helpers.benchmark_runs import fake_run


@pytest.fixture
def clock(monkeypatch):
    """The time that `Progress` reads, moved by hand."""
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


def test_the_rest_takes_as_long_as_what_was_done(clock, capsys):
    progress, run = (
        RemainingTime(cases=3, repeats=2, seconds=5.0),
        fake_run([[0.1], [0.2]]),
    )
    progress.preparing("first")
    clock(10)
    progress.prepared(run)
    # 2 more to compile in 10 s each, 6 rounds of 5 s
    assert "[1/3] first: compiling took 3.5 s, about 50 s left" in _said(capsys)
    for at in (1, 2):
        progress.timing()
        clock(5)
        progress.timed(run)
        progress.round_done(at, [run])
    assert _said(capsys).strip() == "60.0 images/s (40.0-80.0), about 40 s left"
    progress.preparing("second")
    clock(10)
    progress.prepared(fake_run(error="no memory", startup=False))
    assert "[2/3] second: compiling failed, no memory" in _said(capsys)
    progress.preparing("third")
    clock(10)
    progress.prepared(run)
    # nothing of the second will be timed
    assert "about 10 s left" in _said(capsys)


def test_rounds_by_turns_are_counted(clock, capsys):
    runs = [fake_run(), fake_run()]
    progress = RemainingTime(cases=2, repeats=2, seconds=5.0)
    for run in runs:
        progress.preparing("one")
        progress.prepared(run)
    for run in runs:
        progress.timing()
        clock(5)
        run.rounds.append([0.1])
        progress.timed(run)
    progress.round_done(1, runs)
    assert "round 1 of 2 done, about 10 s left" in _said(capsys)
    runs[0].error = "out of memory"
    progress.timing()
    clock(5)
    progress.timed(runs[0])
    progress.round_done(2, runs)
    said = _said(capsys)
    assert "failed, out of memory" in said
    assert "round 2 of 2 done, about 5 s left" in said


def _said(capsys) -> str:
    return capsys.readouterr().out

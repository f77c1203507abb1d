"""Training in time: what is stopped is saved, and goes on to the same end."""

import jax
import pytest

from flowjax_ood.training import time_limit
from flowjax_ood.training.logs import events
from tests.helpers.tiny_run import assert_same, tiny, train
from tests.helpers.toy_run import records, toy_run


def told(monkeypatch, seconds: float, stretches) -> list[bool]:
    """What a limit says after stretches of so many seconds each."""
    now = [100.0]
    monkeypatch.setattr(time_limit.time, "monotonic", lambda: now[0])
    limit, answers = time_limit.TimeLimit(seconds), []
    for stretch in stretches:
        now[0] += stretch
        answers.append(limit.reached())
    return answers


def test_the_next_stretch_has_to_fit(monkeypatch):
    assert told(monkeypatch, 10.0, [5.0]) == [False]
    assert told(monkeypatch, 10.0, [5.5]) == [True]
    # the first one compiles, and says little of those after it
    assert told(monkeypatch, 10.0, [4.0, 2.0, 2.0, 1.0]) == [False, False, False, False]
    assert told(monkeypatch, 10.0, [4.0, 2.0, 2.5]) == [False, False, True]


def test_without_a_limit_it_is_never_reached(monkeypatch):
    assert told(monkeypatch, 0.0, [1e9, 1e9]) == [False, False]


@pytest.mark.thorough
def test_sessions_that_stop_in_time_end_as_one(tmp_path):
    whole = train(tmp_path / "whole", 10, tiny("light batch"))
    assert not whole.out_of_time
    ends, often = [], tmp_path / "often"
    while not ends or ends[-1].out_of_time:
        ends.append(train(often, 10, tiny("light batch"), max_seconds=1e-9))
    # metrics are recorded every 3 steps, and with the checkpoints of every 4
    assert [int(run.state.step) for run in ends] == [3, 4, 6, 8, 9, 10]
    assert_same(jax.device_get(ends[-1].state), jax.device_get(whole.state))
    kept = [(r["step"], r["loss"]) for r in records(tmp_path / "whole")]
    assert [(r["step"], r["loss"]) for r in records(often)] == kept
    written = [e["event"] for e in events.read(often / events.NAME)]
    assert [e for e in written if e in events.ENDINGS] == [
        *["out_of_time"] * 5,
        "finished",
    ]


def test_a_limit_that_is_long_enough_changes_nothing(tmp_path):
    run = toy_run(tmp_path, 10, max_seconds=1e6)
    assert not run.out_of_time
    assert int(run.state.step) == 10


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_seconds_that_make_no_sense_are_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match="max_seconds must be at least 0, got"):
        toy_run(tmp_path, 4, max_seconds=seconds)

"""`status`: the state of a run in every one of its lives, read from its files alone."""

import fcntl

import pytest

from experiments.status.files import RunFiles
from tests.helpers.experiment_runs import snapshot
from tests.helpers.status_runs import (
    DONE,
    NOW,
    SAVES,
    event,
    holding,
    records,
    seen,
    set_times,
    started,
    write_run,
)


@pytest.mark.parametrize(
    ("events", "changes", "state", "why"),
    [
        ([], {"metrics": ()}, "new", "nothing trained yet"),
        ([started()], {}, "crashed", "without a word"),
        (
            [started(), event(9, "interrupted", signal="SIGTERM", step=400)],
            {},
            "stopped",
            "by SIGTERM; run the same command again",
        ),
        (
            [started(), event(9, "out_of_time", step=400)],
            {"results": {"steps": 400}},
            "stopped",
            "train.max_seconds were over; run the same command again",
        ),
        (
            [started(), event(9, "diverged", step=401, what="loss nan")],
            {},
            "diverged",
            "at step 401: loss nan",
        ),
        (
            [started(), event(9, "failed", error="OSError: disk full")],
            {},
            "crashed",
            "OSError: disk full",
        ),
        (DONE, {"metrics": records(1000)}, "finished", ""),
        (DONE, {"results": {"steps": 1000}}, "evaluated", ""),
        # resumed, and gone again
        (
            [started(), event(9, "interrupted", signal="SIGINT"), started(12, 400)],
            {},
            "crashed",
            "without a word",
        ),
        # a run that is made longer has results of the shorter one
        (
            [*DONE, started(191, 1000, 2000)],
            {"results": {"steps": 1000}},
            "crashed",
            "without a word",
        ),
    ],
)
def test_a_run_nobody_holds(tmp_path, events, changes, state, why):
    # long after the last sign of life
    written = {"metrics": records(400), "checkpoints": [400], "quiet": 9000} | changes
    if state == "new":
        written["checkpoints"] = ()
    found = seen(write_run(tmp_path / "run", events=events, **written))
    assert found["state"] == state
    assert why in found["why"]
    assert found["attention"] == ([found["why"]] if why and state in BAD else [])


BAD = ("crashed", "diverged", "silent")


@pytest.mark.parametrize(
    ("events", "metrics", "quiet", "state"),
    [
        # nothing yet: an old run, or one before its first event
        ([], [], 5, "starting"),
        ([started()], [], 5, "starting"),
        ([started()], [], 2000, "silent"),
        ([started()], records(400), 5, "running"),
        # log lines are 5 s apart
        ([started(), *SAVES], records(400), 100, "running"),
        ([started(), *SAVES], records(400), 200, "silent"),
        # a slow run may be quiet for longer: lines are 500 s apart
        ([started()], records(400, seconds_per_step=10.0), 2000, "running"),
        # before its first checkpoint, whose programs are compiled, too
        ([started()], records(400), 200, "running"),
        # nobody times a validation
        (
            [started(), *SAVES],
            [m | {"validation": 1.0} for m in records(400)],
            200,
            "running",
        ),
        # resumed: the metrics so far are those of an earlier session
        ([started(), started(150, 400)], records(400), 1000, "starting"),
        ([started(), started(150, 300)], records(400), 5, "running"),
        # the lock is taken before the next session tells of itself
        (DONE, records(1000), 5, "starting"),
    ],
)
def test_a_run_that_is_held(tmp_path, events, metrics, quiet, state):
    workdir = write_run(tmp_path / "r", events=events, metrics=metrics, quiet=quiet)
    with holding(workdir):
        found = seen(workdir)
    assert found["state"] == state
    assert bool(found["attention"]) == (state == "silent")


def test_a_system_that_trains_below_is_not_silent(tmp_path):
    workdir = write_run(tmp_path / "r", quiet=7200)
    deep = workdir / "networks" / "seed_0" / "plain_0"
    deep.mkdir(parents=True)
    (deep / "metrics.jsonl").write_text("")
    set_times(workdir / "networks", NOW - 5)
    with holding(workdir):
        assert seen(workdir)["state"] != "silent"
        set_times(workdir / "networks", NOW - 7200)
        assert seen(workdir)["state"] == "silent"


@pytest.mark.parametrize(
    ("host", "quiet", "state"),
    [
        ("elsewhere", 20, "running"),
        ("elsewhere", 2000, "crashed"),
        # here the lock would be seen
        (None, 20, "crashed"),
    ],
)
def test_a_run_of_another_machine_whose_lock_is_not_seen(
    tmp_path, monkeypatch, host, quiet, state
):
    monkeypatch.setattr("platform.node", lambda: "here")
    events = [started(host=host or "here")]
    workdir = write_run(
        tmp_path / "run", events=events, metrics=records(400), quiet=quiet
    )
    assert seen(workdir)["state"] == state


@pytest.mark.parametrize(
    ("last", "saved", "results", "state"),
    [
        (400, 400, None, "stopped"),
        (450, 400, None, "stopped"),
        (1000, 1000, {"steps": 1000}, "evaluated"),
        # early stopping ends before the last step, with results of the best one
        (600, 600, {"steps": 450}, "evaluated"),
    ],
)
def test_runs_that_left_no_events(tmp_path, last, saved, results, state):
    workdir = write_run(
        tmp_path / "run", metrics=records(last), checkpoints=[saved], results=results
    )
    found = seen(workdir)
    assert found["state"] == state
    assert found["num_steps"] == 1000
    assert found["sessions"] is None


def test_asking_disturbs_nobody(tmp_path):
    workdir = write_run(tmp_path / "run", events=[started()], checkpoints=[200])
    before = snapshot(workdir)
    with (workdir / ".lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert RunFiles(workdir).held
        fcntl.flock(file, fcntl.LOCK_UN)
        # and the lock is free again after asking
        assert not RunFiles(workdir).held
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert snapshot(workdir) == before

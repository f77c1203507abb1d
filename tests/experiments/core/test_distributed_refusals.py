"""`--distributed`: what processes of one run refuse, and what they train."""

import os
import subprocess
import time

import pytest

from experiments.cli import run
from tests.helpers.experiment_runs import (
    PYTHON,
    ROOT,
    TINY,
    environment,
    only_error,
    read_results,
)
from tests.helpers.run_scripts import free_port
from tests.helpers.two_processes import Two


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_what_one_host_lacks_ends_all(tmp_path):
    """Nothing is written, and each says whose fault it is."""
    workdir = tmp_path / "run"
    argv = ("train", *TINY, f"--workdir={workdir}", "--config.data.source=idx")
    other = ROOT.parent / "shared" / "data"
    there = f"--config.data.path={other if other.is_dir() else tmp_path}"
    each = ((there,), (f"--config.data.path={tmp_path / 'none'}",))
    with Two(*argv, each=each) as two:
        found = two.finish()
    assert [status for status, *_ in found] == [2, 2]
    assert "none" in only_error(found[1][2])
    assert not workdir.exists()


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_other_configs_on_other_hosts_are_refused(tmp_path):
    """Or they would train different flows, or wait for each other for ever."""
    workdir = tmp_path / "run"
    argv = ("train", *TINY, f"--workdir={workdir}")
    each = ((), ("--config.optimizer.learning_rate=0.05",))
    with Two(*argv, each=each) as two:
        found = two.finish()
    assert [status for status, *_ in found] == [2, 2]
    message = "another config than process 0: optimizer.learning_rate"
    assert message in only_error(found[1][2])
    assert "process 1 of 2" in only_error(found[0][2])
    assert not workdir.exists()


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_vectors_are_trained_by_two(tmp_path):
    workdir = tmp_path / "run"
    config = f"--config={ROOT / 'experiments/configs/hepmass.py'}:smoke"
    with Two("train", config, f"--workdir={workdir}") as two:
        found = two.finish()
    assert [status for status, *_ in found] == [0, 0], found[0][2] + found[1][2]
    assert (workdir / "standardization.npz").is_file()
    assert read_results(workdir)["versions"]["processes"] == 2


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_a_workdir_in_use_is_refused_by_all(tmp_path):
    import fcntl

    workdir = tmp_path / "run"
    workdir.mkdir()
    with (workdir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(os.getpid()))
        file.flush()
        argv = ("train", *TINY, f"--workdir={workdir}")
        with Two(*argv) as two:
            found = two.finish()
    for status, _, err in found:
        assert status == 2
        assert f"is in use by process {os.getpid()}" in only_error(err)
    assert not (workdir / "metrics.jsonl").exists()


# ---- flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--coordinator=a:1"], "give --num-processes, --process-id, too"),
        (["--process-id=0"], "give --coordinator, --num-processes, too"),
        (
            ["--coordinator=a:1", "--num-processes=2", "--process-id=2"],
            "--process-id=2 of --num-processes=2: ids go from 0 to N - 1",
        ),
        (
            ["--coordinator=a", "--num-processes=2", "--process-id=0"],
            "--coordinator=a is not HOST:PORT",
        ),
    ],
)
def test_flags_that_do_not_go_together(tmp_path, capsys, flags, message):
    """Before anything is written."""
    workdir = tmp_path / "run"
    assert run(["train", *TINY, f"--workdir={workdir}", *flags]) == 2
    assert message in only_error(capsys.readouterr().err)
    assert not workdir.exists()


def failing(tmp_path, *flags) -> tuple[int, str]:
    """`(status, stderr)` of a process that finds nobody; it has written nothing."""
    done = subprocess.run(
        (*PYTHON, "train", *TINY, f"--workdir={tmp_path / 'run'}", *flags),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not (tmp_path / "run").exists()
    return done.returncode, done.stderr


@pytest.mark.multiprocess
def test_where_nothing_tells_of_others_flags_are_asked_for(tmp_path):
    status, err = failing(tmp_path, "--distributed")
    assert status == 2
    assert "does not find the other processes" in only_error(err)
    assert "--coordinator=HOST:PORT" in err


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_processes_that_do_not_come_are_waited_for_no_longer_than_asked(tmp_path):
    where = f"--coordinator=localhost:{free_port()}"
    flags = ("--num-processes=2", "--process-id=1", "--join-timeout=2")
    began = time.monotonic()
    status, err = failing(tmp_path, where, *flags)
    assert time.monotonic() - began < 60
    assert status == 2, err
    said = only_error(err)
    assert "2 processes did not meet at localhost:" in said
    assert "within --join-timeout=2 seconds; start all of them" in said

"""`--distributed`: one run by two real processes, which stop, die, move and finish."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from experiment_runs import (
    PYTHON,
    ROOT,
    TINY,
    environment,
    only_error,
    read_bits,
    read_results,
)

from experiments import build
from experiments.__main__ import run
from experiments.distributed import LOST
from experiments.kept_config import read_config
from experiments.sets import load_sets
from flowjax_ood.training import event_log
from flowjax_ood.training.checkpoint import Checkpoints

ENDLESS = (
    *TINY,
    "--config.optimizer.schedule=constant",
    "--config.train.num_steps=1000000",
    "--config.train.log_every=1",
    "--config.train.checkpoint_every=15",
)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


class Two:
    """Two processes of one command, started; ended at the end of a `with`."""

    def __init__(self, compiled: Path, *argv, each: tuple = ((), ())):
        where = ("--num-processes=2", f"--coordinator=localhost:{free_port()}")
        changes = {"JAX_COMPILATION_CACHE_DIR": str(compiled)}
        self.processes = [
            subprocess.Popen(
                (*PYTHON, *argv, *where, f"--process-id={number}", *own),
                cwd=ROOT,
                env=environment(**changes),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number, own in enumerate(each)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait_for(self, workdir: Path, step: int, seconds: float = 200) -> None:
        """Until step `step` is logged."""
        began = time.monotonic()
        while max(steps_of(workdir), default=0) < step:
            for process in self.processes:
                assert process.poll() is None, process.stderr.read()
            assert time.monotonic() - began < seconds, "no step in time"
            time.sleep(0.05)

    def finish(self) -> list[tuple[int, str, str]]:
        """`(status, stdout, stderr)` of both."""
        outputs = [process.communicate(timeout=240) for process in self.processes]
        return [(p.returncode, *o) for p, o in zip(self.processes, outputs)]


def steps_of(workdir: Path) -> list[int]:
    file = workdir / "metrics.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [json.loads(line)["step"] for line in lines]


def saved(workdir: Path) -> dict[int, object]:
    """States of the checkpoints of a run, by step."""
    config = read_config(workdir)
    template = build.state_template(config, load_sets(config, workdir))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return {s: checkpoints.restore(template, s)[0] for s in checkpoints.steps()}


def alone(*argv, devices: int = 2) -> None:
    """One process with as many devices."""
    done = subprocess.run(
        (*PYTHON, *argv),
        cwd=ROOT,
        env=environment(JAX_NUM_CPU_DEVICES=str(devices)),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A run by two processes: process 1 gets SIGTERM; then, going on, process 0 is
    killed; then it moves to one process, in another mode, and finishes.

    Another run is done by one process without interruption.
    """
    room = tmp_path_factory.mktemp("distributed")
    moved, plain = room / "moved", room / "plain"
    start = ("train", *ENDLESS, f"--workdir={moved}")
    told = {}
    with Two(room / "compiled", *start) as two:
        two.wait_for(moved, 4)
        two.processes[1].send_signal(signal.SIGTERM)
        told["terminated"] = two.finish()
    told["steps"] = steps_of(moved)
    with Two(room / "compiled", *start) as two:
        two.wait_for(moved, max(told["steps"]) + 40)
        two.processes[1].kill()
        told["killed"] = two.finish()
    told["newest"] = max(int(p.name) for p in (moved / "checkpoints").glob("[0-9]*"))
    last = f"--config.train.num_steps={told['newest'] + 12}"
    alone(*start, last, "--config.parallel=shard_map")
    alone("train", *ENDLESS, last, f"--workdir={plain}")
    with Two(room / "compiled", "evaluate", f"--workdir={moved}") as two:
        evaluated = room / "before.json"
        shutil.copy(moved / "results.json", evaluated)
        told["bits"] = read_bits(moved)
        (moved / "results.json").unlink()
        told["evaluated"] = two.finish()
        told["results"] = json.loads(evaluated.read_text())
    return moved, plain, told


@pytest.mark.multiprocess
def test_sigterm_at_one_stops_both_at_the_same_step(story):
    _, _, told = story
    last = told["steps"][-1]
    assert told["steps"] == list(range(1, last + 1))
    for status, _, err in told["terminated"]:
        assert status == 143, err
        assert "Traceback" not in err
        assert f"stopped by SIGTERM at step {last}; the checkpoint is saved" in err


@pytest.mark.multiprocess
def test_where_one_is_killed_the_other_ends_soon(story):
    _, _, told = story
    (left, _, err), (killed, _, _) = told["killed"]
    assert killed == -signal.SIGKILL
    # JAX may end the process before its error reaches us
    assert left in (LOST, -signal.SIGABRT), err
    if left == LOST:
        assert "process 0 of 2 has lost contact with the others" in only_error(err)
    assert told["newest"] % 15 == 0


@pytest.mark.multiprocess
def test_it_moves_and_ends_as_if_nothing_had_happened(story):
    """On one process, by another adapter: the same up to rounding, each step once."""
    moved, plain, told = story
    assert steps_of(moved) == steps_of(plain) == list(range(1, told["newest"] + 13))
    found, expected = saved(moved), saved(plain)
    last = told["newest"] + 12
    assert found.keys() == expected.keys() == {told["newest"], last}
    import jax

    for step in found:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            found[step],
            expected[step],
        )


@pytest.mark.multiprocess
def test_its_history_is_told(story):
    moved, _, told = story
    events = event_log.read(moved / event_log.NAME)
    started = [e for e in events if e["event"] == "started"]
    assert [e["processes"] for e in started] == [2, 2, 1]
    assert [e["step"] for e in started] == [0, told["steps"][-1], told["newest"]]
    ends = [e["event"] for e in events if e["event"] in event_log.ENDINGS]
    assert ends[0] == "interrupted"
    assert ends[-1] == "finished"


@pytest.mark.multiprocess
def test_two_processes_evaluate_as_one_does(story):
    """Every image once, in order; process 0 alone writes and prints."""
    moved, _, told = story
    (status, out, err), (other, silent, quiet) = told["evaluated"]
    assert (status, other) == (0, 0), err + quiet
    assert "results and figures are in" in out
    assert "AUROC" not in silent
    assert quiet == ""
    for name, bits in read_bits(moved).items():
        assert bits.shape == (20,)
        np.testing.assert_allclose(bits, told["bits"][name], rtol=1e-6)
    results = read_results(moved)
    assert results["versions"].pop("processes") == 2
    assert told["results"]["versions"].pop("processes") == 1
    np.testing.assert_allclose(
        results["auroc"]["mnist"], told["results"]["auroc"]["mnist"], atol=1e-6
    )
    assert results.keys() == told["results"].keys()


@pytest.mark.multiprocess
def test_what_one_host_lacks_ends_all(tmp_path):
    """Nothing is written, and each says whose fault it is."""
    workdir = tmp_path / "run"
    argv = ("train", *TINY, f"--workdir={workdir}", "--config.data.source=idx")
    other = ROOT.parent / "shared" / "data"
    there = f"--config.data.path={other if other.is_dir() else tmp_path}"
    each = ((there,), (f"--config.data.path={tmp_path / 'none'}",))
    with Two(tmp_path / "compiled", *argv, each=each) as two:
        found = two.finish()
    assert [status for status, *_ in found] == [2, 2]
    assert "none" in only_error(found[1][2])
    assert not workdir.exists()


@pytest.mark.multiprocess
def test_other_configs_on_other_hosts_are_refused(tmp_path):
    """Or they would train different flows, or wait for each other for ever."""
    workdir = tmp_path / "run"
    argv = ("train", *TINY, f"--workdir={workdir}")
    each = ((), ("--config.optimizer.learning_rate=0.05",))
    with Two(tmp_path / "compiled", *argv, each=each) as two:
        found = two.finish()
    assert [status for status, *_ in found] == [2, 2]
    message = "another config than process 0: optimizer.learning_rate"
    assert message in only_error(found[1][2])
    assert "process 1 of 2" in only_error(found[0][2])
    assert not workdir.exists()


@pytest.mark.multiprocess
def test_vectors_are_trained_by_two(tmp_path):
    workdir = tmp_path / "run"
    config = f"--config={ROOT / 'experiments/configs/hepmass.py'}:smoke"
    with Two(tmp_path / "compiled", "train", config, f"--workdir={workdir}") as two:
        found = two.finish()
    assert [status for status, *_ in found] == [0, 0], found[0][2] + found[1][2]
    assert (workdir / "standardization.npz").is_file()
    assert read_results(workdir)["versions"]["processes"] == 2


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
        with Two(tmp_path / "compiled", *argv) as two:
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


@pytest.mark.multiprocess
def test_processes_that_do_not_come_are_waited_for_no_longer_than_asked(tmp_path):
    where = f"--coordinator=localhost:{free_port()}"
    flags = ("--num-processes=2", "--process-id=1", "--join-timeout=2")
    began = time.monotonic()
    status, err = failing(tmp_path, where, *flags)
    assert time.monotonic() - began < 60
    # JAX ends a process that does not reach its coordinator by itself
    assert status in (2, -signal.SIGABRT), err
    assert "DEADLINE_EXCEEDED" in err

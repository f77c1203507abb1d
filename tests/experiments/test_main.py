"""`python -m experiments` as a process of its own: devices, exit status, signals."""

import os
import shlex
import signal
import subprocess
import time

import pytest

from flowjax_ood.interface.environment import use_all_cores
from tests.helpers.experiment_runs import (
    PYTHON,
    ROOT,
    TINY,
    environment,
    only_error,
    read_results,
)
from tests.helpers.two_processes import steps_of


def start(*argv, **changes):
    return subprocess.Popen(
        (*PYTHON, *argv),
        cwd=ROOT,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("cores", "devices"), [(1, 1), (2, 2), (3, 2), (6, 4), (8, 8), (96, 8)]
)
def test_one_cpu_device_a_core(monkeypatch, cores, devices):
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False
    )
    use_all_cores()
    assert os.environ["JAX_NUM_CPU_DEVICES"] == str(devices)
    # and never against the user's word
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "5")
    use_all_cores()
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "5"
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    use_all_cores()
    assert "JAX_NUM_CPU_DEVICES" not in os.environ


@pytest.mark.multiprocess
def test_as_a_process_without_arguments():
    status, out, err = finish(start())
    assert (status, out) == (2, "")
    assert only_error(err) == "no COMMAND given"


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_as_a_process_with_a_batch_that_does_not_divide(tmp_path):
    workdir = tmp_path / "run"
    process = start("train", *TINY, f"--workdir={workdir}", JAX_NUM_CPU_DEVICES="3")
    status, out, err = finish(process)
    assert (status, out) == (2, "")
    assert "batch size 16 does not divide over 3 devices" in only_error(err)
    assert not workdir.exists()


@pytest.mark.thorough
@pytest.mark.multiprocess
def test_sigterm_saves_and_the_run_goes_on(tmp_path):
    workdir = tmp_path / "run"
    endless = (
        *TINY,
        "--config.train.num_steps=1000000",
        "--config.train.checkpoint_every=1000000",
        "--config.train.log_every=1",
    )
    stopped_at = [0]
    for _ in range(2):
        process = start("train", *endless, f"--workdir={workdir}")
        try:
            began = time.monotonic()
            while max(steps_of(workdir), default=0) < stopped_at[-1] + 3:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() - began < 200, "no step in time"
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            status, _, err = finish(process)
        finally:
            process.kill()
        assert status == 143
        assert "Traceback" not in err
        steps = steps_of(workdir)
        assert f"stopped by SIGTERM at step {steps[-1]}; the checkpoint is saved" in err
        assert "run the same command again to go on" in err
        assert (workdir / "checkpoints" / str(steps[-1])).is_dir()
        # every step once: the second process went on where the first one stopped
        assert steps == list(range(1, steps[-1] + 1))
        stopped_at.append(steps[-1])
    assert stopped_at[2] > stopped_at[1] > 0
    assert not (workdir / "results.json").exists()


@pytest.mark.thorough
@pytest.mark.multiprocess
@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "| true", ">&- 2>&-"])
def test_a_run_without_its_streams_is_whole(tmp_path, streams):
    command = f"{shlex.join([*PYTHON, 'train', *TINY])} --workdir=run {streams}"
    path = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env=environment(**path),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == (141 if "|" in streams else 0)
    assert done.stderr == "" or "|" in streams
    assert "Traceback" not in done.stderr
    assert set(read_results(tmp_path / "run")["auroc"]) == {"mnist"}
    assert (tmp_path / "run" / "samples.png").is_file()

"""Real signals to a real process: it saves, and another one goes on from there."""

import os
import signal
import subprocess
import time

import jax
import pytest

from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.logs.metrics import read
from tests.helpers.run_scripts import ROOT, script_command
from tests.helpers.tiny_run import assert_same, tiny, train


@pytest.mark.thorough
@pytest.mark.multiprocess
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signalled_process_leaves_a_run_to_go_on_with(tmp_path, number):
    process = subprocess.Popen(
        script_command("endless_run", tmp_path / "run"),
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        log, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
        while not (log.exists() and log.stat().st_size):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number, err
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        step = checkpoints.latest_step()
    assert out == f"{signal.Signals(number).name} at step {step}\n"
    assert read(log)[-1]["step"] == step

    every = {"log_every": 10, "checkpoint_every": 10**6}
    resumed = train(tmp_path / "run", step + 7, tiny("light"), **every)
    whole = train(tmp_path / "whole", step + 7, tiny("light"), **every)
    assert_same(jax.device_get(resumed.state), jax.device_get(whole.state))
    steps = [record["step"] for record in read(log)]
    assert steps == sorted(set(steps))
    assert steps[-1] == step + 7

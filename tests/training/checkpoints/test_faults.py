"""What can happen to a process that trains, done to real ones: nothing is lost."""

import shutil
import time
from pathlib import Path

import jax
import pytest

from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.logs import events
from flowjax_ood.training.logs.metrics import read
from tests.helpers.run_scripts import free_port, run_together, script_command
from tests.helpers.tiny_run import assert_same, tiny, train

pytestmark = [pytest.mark.multiprocess, pytest.mark.thorough]
FAULTS = {"killed": -9, "killed-late": -9, "full": 2}


@pytest.fixture(scope="module")
def struck(tmp_path_factory) -> dict[str, tuple[Path, int, str]]:
    """`{fault: (workdir, status, output)}`; tests work on copies."""
    room = tmp_path_factory.mktemp("faults")
    commands = [script_command("faulty_run", fault, room / fault) for fault in FAULTS]
    found = run_together(commands)
    return {
        fault: (room / fault, status, out + err)
        for fault, (status, out, err) in zip(FAULTS, found)
    }


@pytest.fixture
def run(struck, tmp_path, request) -> tuple[Path, int, str]:
    workdir, *found = struck[request.param]
    return shutil.copytree(workdir, tmp_path / "run"), *found


every_fault = pytest.mark.parametrize("run", FAULTS, indirect=True)


@pytest.mark.parametrize(("run", "status"), FAULTS.items(), indirect=["run"])
def test_it_ends_as_it_must(run, status):
    assert run[1] == status, run[2]


@every_fault
def test_the_last_good_checkpoint_restores(run):
    before = sorted((run[0] / "checkpoints").iterdir())
    with Checkpoints(run[0] / "checkpoints") as checkpoints:
        assert checkpoints.steps() == [4]
        state, facts = checkpoints.restore(tiny("light").state)
    assert (state.step, facts["images"]) == (4, 3 * 8)
    assert sorted((run[0] / "checkpoints").iterdir()) == before


@every_fault
def test_the_run_goes_on_as_if_nothing_had_happened(run, tmp_path):
    """Bit for bit, every step logged once, and nothing is left lying about."""
    again = train(run[0], 10, tiny("light"))
    whole = train(tmp_path / "whole", 10, tiny("light"))
    assert_same(jax.device_get(again.state), jax.device_get(whole.state))
    losses = [
        [(r["step"], r["loss"]) for r in read(place / "metrics.jsonl")]
        for place in (run[0], tmp_path / "whole")
    ]
    assert losses[0] == losses[1]
    names = sorted(p.name for p in (run[0] / "checkpoints").iterdir())
    assert names == ["10", "8"]
    started = [e for e in events.read(run[0] / events.NAME) if "pid" in e]
    assert [e["step"] for e in started] == [0, 4]


def test_a_full_disk_is_named(struck):
    workdir, _, said = struck["full"]
    assert f"the checkpoint {workdir / 'checkpoints' / '8'} cannot be written" in said
    assert "File too large" in said or "too large" in said, said
    assert "free space" in said
    assert "Traceback" not in said


def test_a_full_disk_ends_two_processes_at_once(tmp_path):
    """Neither waits for what the other one will never do."""
    where, workdir = f"localhost:{free_port()}", tmp_path / "run"
    command = script_command("faulty_run", "full", workdir)
    began = time.monotonic()
    (lead, said, err), (other, _, _) = run_together(
        [[*command, where, str(number)] for number in range(2)], seconds=120
    )
    assert time.monotonic() - began < 100
    assert lead == 2, err
    assert f"{workdir / 'checkpoints' / '8'} cannot be written" in said
    assert other != 0
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        assert checkpoints.steps() == [4]

"""Checkpoints in a bucket: what training left there is what it left on a disk."""

import jax
import pytest

from flowjax_ood.runtime.paths import as_path
from flowjax_ood.training.checkpoints.checkpoints import CheckpointError, Checkpoints
from flowjax_ood.training.logs import events
from flowjax_ood.training.logs.metrics import read
from tests.helpers.bucket import SENDS
from tests.helpers.run_scripts import run_together, script_command
from tests.helpers.tiny_run import assert_same, tiny, train

KILLED = ("killed", "killed-late", "killed-sending")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Ten steps on a disk, never interrupted: the workdir, and the last state."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, jax.device_get(train(workdir, 10, tiny("light")).state)


def losses(workdir) -> list[tuple]:
    records = read(workdir / "metrics.jsonl")
    return [(r["step"], r["loss"], r["bits_per_dim"]) for r in records]


def saved(workdir) -> list[str]:
    inside = (workdir / "checkpoints").iterdir()
    return sorted(path.name for path in inside if path.is_dir())


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.objects()}


@pytest.fixture
def workdir(bucket):
    return as_path(bucket) / "run"


@pytest.mark.thorough
def test_a_run_that_goes_on_is_the_same_bit_for_bit(workdir, whole):
    train(workdir, 6, tiny("light"))
    assert saved(workdir) == ["4", "6"]
    again = train(str(workdir), 10, tiny("light"))
    assert_same(jax.device_get(again.state), whole[1])
    assert losses(workdir) == losses(whole[0])
    assert saved(workdir) == ["10", "8"]
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        assert_same(checkpoints.restore(tiny("light").state)[0], whole[1])
        with pytest.raises(CheckpointError, match="holds a checkpoint of step 10"):
            checkpoints.save(9, whole[1], {})
        # nothing is left of it on the disk
        work = checkpoints._place.work
    assert not work.exists()
    kinds = [event["event"] for event in events.read(workdir / events.NAME)]
    assert [k for k in kinds if k != "checkpoint"] == [
        *("started", "finished", "started", "resumed", "finished"),
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("spoil", ["cut", "flipped", "missing", "manifest"])
def test_a_damaged_newest_one_is_set_aside(workdir, whole, spoil):
    train(workdir, 8, tiny("light"))
    newest = workdir / "checkpoints" / "8"
    file = max(newest.objects(), key=lambda path: path.stat().st_size)
    content = file.read_bytes()
    if spoil == "cut":
        file.write_bytes(content[:-1])
    elif spoil == "flipped":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif spoil == "missing":
        file.unlink()
    else:
        (newest / "manifest.json").write_bytes(b"{")
    before = contents(newest)
    again = train(workdir, 10, tiny("light"))
    assert_same(jax.device_get(again.state), whole[1])
    aside = workdir / "damaged_checkpoints" / "8"
    assert before == {
        str(p.relative_to(aside)): p.read_bytes() for p in aside.objects()
    }
    told = [e for e in events.read(workdir / events.NAME) if e["event"] == "fallback"]
    assert [(e["step"], e["to"]) for e in told] == [(8, 4)]


@pytest.mark.thorough
def test_checkpoints_that_are_gone_are_not_a_new_run(workdir):
    train(workdir, 4, tiny("light"))
    for path in (workdir / "checkpoints").objects():
        path.unlink()
    with pytest.raises(CheckpointError, match="where that of step 4 was written"):
        train(workdir, 8, tiny("light"))


@pytest.mark.slow
@pytest.mark.multiprocess
def test_killed_in_a_save_it_goes_on_from_the_last_whole_one(workdir, whole):
    commands = [script_command("faulty_run", f, str(workdir / f)) for f in KILLED]
    for status, out, err in run_together(commands):
        assert status == -9, out + err
    for fault in KILLED:
        assert saved(workdir / fault) == ["4", "8"][: 1 + (fault == KILLED[2])]
        with Checkpoints(workdir / fault / "checkpoints") as checkpoints:
            assert checkpoints.steps() == [4]
        again = train(workdir / fault, 10, tiny("light"))
        assert_same(jax.device_get(again.state), whole[1])
        assert losses(workdir / fault) == losses(whole[0])
        assert saved(workdir / fault) == ["10", "8"]


@pytest.mark.thorough
def test_errors_and_delays_cost_time_alone(emulator, workdir, whole):
    emulator.faults(
        {"how": "refuse", "path": "manifest.json", "method": SENDS, "count": 1},
        {"how": "lose", "path": "checkpoints/4/", "method": SENDS, "count": 2},
        {"how": "refuse", "path": "/8/", "count": 4},
        {"how": "lose", "path": "jsonl", "method": SENDS, "count": 2},
        {"wait": 0.1},
    )
    run = train(workdir, 10, tiny("light"))
    assert_same(jax.device_get(run.state), whole[1])
    assert losses(workdir) == losses(whole[0])
    assert saved(workdir) == ["10", "8"]


@pytest.mark.thorough
def test_a_bucket_that_takes_no_more_ends_the_run_in_words(
    emulator, workdir, whole, monkeypatch
):
    """And loses nothing of what it took."""
    monkeypatch.setenv("FLOWJAX_OOD_BUCKET_SECONDS", "0.5")
    emulator.faults({"how": "refuse", "path": "checkpoints/8/", "method": SENDS})
    with pytest.raises(CheckpointError) as refused:
        train(workdir, 10, tiny("light"))
    said = str(refused.value)
    assert f"the checkpoint {workdir / 'checkpoints' / '8'} cannot be written" in said
    assert "the bucket failed for 0.5 s" in said
    emulator.faults()
    again = train(workdir, 10, tiny("light"))
    assert_same(jax.device_get(again.state), whole[1])
    assert losses(workdir) == losses(whole[0])

"""events.jsonl: what is written is read, and a full disk ends no training."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from flowjax_ood.runtime.terminations import Terminated
from flowjax_ood.training.logs import events as event_log
from flowjax_ood.training.logs.events import ENDINGS, EventLog, read, timestamp

FULL = Path("/dev/full")


def without_time(events):
    return [{k: v for k, v in event.items() if k != "time"} for event in events]


def test_what_is_written_is_read_in_order(tmp_path):
    log = EventLog(tmp_path / "new" / "events.jsonl")
    log.write("started", step=0, num_steps=10, devices=4)
    log.write("checkpoint", step=5, seconds=0.25)
    EventLog(log.path).write("finished", step=10)
    assert without_time(read(log.path)) == [
        {"event": "started", "step": 0, "num_steps": 10, "devices": 4},
        {"event": "checkpoint", "step": 5, "seconds": 0.25},
        {"event": "finished", "step": 10},
    ]
    assert len(log.path.read_text().splitlines()) == 3


def test_times_are_utc_with_milliseconds(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    before = datetime.now(UTC) - timedelta(milliseconds=1)  # cut, not rounded
    log.write("started", step=0)
    after = datetime.now(UTC)
    (event,) = read(log.path)
    assert before <= datetime.fromisoformat(event["time"]) <= after
    moment = datetime.fromisoformat("2025-03-01T10:30:00.125999+01:00")
    assert timestamp(moment) == "2025-03-01T09:30:00.125Z"


def test_facts_json_does_not_know_are_text(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    facts = {"loss": float("nan"), "path": tmp_path, "seen": np.int64(3)}
    log.write("diverged", **facts, inside={"a": [np.float32(0.5), float("inf")]})
    (event,) = without_time(read(log.path))
    assert event == {
        "event": "diverged",
        "loss": "nan",
        "path": str(tmp_path),
        "seen": 3,
        "inside": {"a": [0.5, "inf"]},
    }


def test_a_line_cut_short_costs_that_line_alone(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.write("started", step=0)
    log.write("checkpoint", step=5)
    whole = log.path.read_bytes()
    for end in range(1, 12):
        log.path.write_bytes(whole[:-end])
        kept = ["started"] if end > 1 else ["started", "checkpoint"]
        assert [e["event"] for e in read(log.path)] == kept
        log.write("resumed", step=0)
        assert [e["event"] for e in read(log.path)] == [*kept, "resumed"]


def test_bytes_that_are_no_text_are_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    EventLog(path).write("started", step=0)
    strange = b'\xff\x00{\n[1]\n{"step": 3}\n{"time": 3, "event": "x"}\n'
    path.write_bytes(path.read_bytes() + strange)
    assert [e["event"] for e in read(path)] == ["started"]


def test_no_file_is_no_events(tmp_path):
    assert read(tmp_path / "events.jsonl") == []


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_signal_before_the_first_step_is_no_failure(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    with pytest.raises(Terminated), log.ending():
        raise Terminated
    assert without_time(read(log.path)) == [
        {"event": "interrupted", "signal": "SIGTERM"}
    ]


def test_a_full_disk_is_a_warning_once(tmp_path, capsys):
    path = tmp_path / "events.jsonl"
    path.symlink_to(FULL)
    log = EventLog(path)
    log.write("started", step=0)
    log.write("finished", step=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert "No space left" in line
    assert "training goes on" in line


def test_a_directory_that_cannot_be_made_is_a_warning(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    EventLog(tmp_path / "file" / "events.jsonl").write("started", step=0)
    assert "cannot be written" in capsys.readouterr().err


def test_threads_do_not_mix_their_lines(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")

    def writes(name):
        for step in range(20):
            log.write("checkpoint", by=name, step=step, text="x" * 500)

    threads = [threading.Thread(target=writes, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = read(log.path)
    assert len(events) == len(log.path.read_text().splitlines()) == 80
    for name in "abcd":
        assert [e["step"] for e in events if e["by"] == name] == list(range(20))


def test_surroundings_are_facts_of_this_process():
    import jax

    import flowjax_ood

    found = event_log.surroundings()
    assert json.loads(json.dumps(found)) == found
    assert found["devices"] == jax.device_count()
    assert found["processes"] == 1
    assert found["platform"] == jax.default_backend()
    versions = {"flowjax_ood": flowjax_ood.__version__, "jax": jax.__version__}
    assert found["versions"] == versions


def test_every_event_is_documented():
    for event in ("started", "resumed", "checkpoint", "fallback", "warning", *ENDINGS):
        assert f"| `{event}`" in event_log.__doc__


def test_reading_events_needs_no_jax():
    program = (
        "import sys; import flowjax_ood.training.logs.events; "
        "assert not {'jax', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

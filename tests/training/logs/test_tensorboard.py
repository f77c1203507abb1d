"""TensorBoard's files hold what metrics.jsonl does, each step once, without TensorFlow.

The files are read here as TensorBoard reads them: in the order of their names, and what
begins a session at step k takes away all from k on.
"""

import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flowjax_ood.training.logs.tensorboard import TensorBoard

pytest.importorskip("tensorboardX")

FULL = Path("/dev/full")


def records(path: Path) -> list[bytes]:
    """The payloads of a TFRecord file: length, its CRC, payload, its CRC."""
    raw, found = path.read_bytes(), []
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        found.append(raw[12 : 12 + length])
        raw = raw[16 + length :]
    return found


def shown(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """`{tag: [(step, value), ...]}`, as TensorBoard shows a directory."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(directory.glob("*tfevents*")):
        events = [Event.FromString(raw) for raw in records(path)]
        assert events[0].file_version == "brain.Event:2"
        for event in events:
            if event.session_log.status == SessionLog.START:
                for tag, points in found.items():
                    found[tag] = [p for p in points if p[0] < event.step]
            for value in event.summary.value:
                point = (event.step, value.simple_value)
                found.setdefault(value.tag, []).append(point)
    return found


def test_every_number_is_a_scalar(tmp_path):
    with closing(TensorBoard(tmp_path / "new")) as sink:
        sink.resume_at(0)
        sink.write(10, loss=2.5, images_per_second=100, note="text")
        sink.write(20, loss=2.25, done=True)
    assert shown(tmp_path / "new") == {
        "loss": [(10, 2.5), (20, 2.25)],
        "images_per_second": [(10, 100.0)],
        "done": [(20, 1.0)],
    }


def test_a_resumed_run_shows_every_step_once(tmp_path):
    killed = TensorBoard(tmp_path)
    killed.resume_at(0)
    for step in (10, 20, 30, 40):
        killed.write(step, loss=float(step))
    # resumed from the checkpoint of step 20; what `killed` wrote is all on disk
    with closing(TensorBoard(tmp_path)) as second:
        second.resume_at(20)
        for step in (30, 40, 50):
            second.write(step, loss=step + 0.5)
    assert shown(tmp_path)["loss"] == [
        (10, 10.0),
        (20, 20.0),
        (30, 30.5),
        (40, 40.5),
        (50, 50.5),
    ]
    killed.close()


def test_records_are_on_disk_when_write_returns(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.write(1, loss=0.5)
    assert shown(tmp_path) == {"loss": [(1, 0.5)]}
    sink.close()
    sink.close()


def test_a_closed_sink_begins_another_file(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.write(1, loss=1.0)
    sink.close()
    sink.write(2, loss=2.0)
    sink.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert shown(tmp_path) == {"loss": [(1, 1.0), (2, 2.0)]}


def test_nothing_is_written_before_there_is_something(tmp_path):
    TensorBoard(tmp_path / "new").close()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_a_warning_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with closing(TensorBoard(tmp_path / "file" / "below")) as sink:
        sink.resume_at(0)
        sink.write(1, loss=1.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in line
    assert "training goes on" in line


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_a_warning_once(tmp_path, capsys, monkeypatch):
    sink = TensorBoard(tmp_path)
    opened = sink._open_file
    monkeypatch.setattr(sink, "_open_file", lambda path: opened(str(FULL)))
    for step in range(50):
        sink.write(step, loss=1.0)
    sink.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left" in line


def test_without_tensorboardx_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.record_writer", None)
    with pytest.raises(ImportError) as missing:
        TensorBoard(tmp_path)
    assert "pip install -e '.[tensorboard]'" in str(missing.value)


def test_no_tensorflow_is_imported(tmp_path):
    program = (
        "import sys; from flowjax_ood.training.logs.tensorboard import TensorBoard; "
        "assert 'tensorboardX' not in sys.modules; "
        f"sink = TensorBoard({str(tmp_path)!r}); sink.resume_at(0); "
        "sink.write(1, loss=1.0); sink.close(); "
        "heavy = {'tensorflow', 'tensorboard', 'torch', 'jax'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

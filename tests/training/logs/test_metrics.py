"""metrics.jsonl survives interruptions and crashes."""

import json

import numpy as np
import pytest

from flowjax_ood.training.logs.metrics import MetricLog, read


@pytest.fixture
def log(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    for step in (5, 10, 15):
        log.write(step, loss=step / 2)
    return log


def steps(log):
    return [record["step"] for record in read(log.path)]


def test_records_are_plain_json_lines(log):
    log.write(20, loss=np.float32(0.5), images=np.int64(3), name="x", done=True)
    lines = log.path.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 10, 15, 20]
    assert json.loads(lines[-1]) == {
        "step": 20,
        "loss": 0.5,
        "images": 3.0,
        "name": "x",
        "done": True,
    }


def test_create_makes_directories_and_keeps_records(log, tmp_path):
    fresh = MetricLog(tmp_path / "a" / "b" / "metrics.jsonl")
    fresh.create()
    assert read(fresh.path) == []
    log.create()
    assert steps(log) == [5, 10, 15]


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    log = MetricLog(tmp_path / "file" / "metrics.jsonl")
    with pytest.raises(OSError, match=r"choose a working directory.*file/metrics"):
        log.create()


@pytest.mark.parametrize(
    ("step", "kept"), [(15, [5, 10, 15]), (14, [5, 10]), (10, [5, 10]), (0, [])]
)
def test_resuming_drops_later_steps(log, step, kept):
    log.resume_at(step)
    assert steps(log) == kept
    log.write(step + 1, loss=0.0)
    assert steps(log) == [*kept, step + 1]


def test_resuming_without_a_file(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.resume_at(3)
    assert not log.path.exists()


@pytest.mark.parametrize(
    "tail", [b'{"step": 20, "lo', b"\0\0\0", b'{"step": 20}\xff\xfe', b'{"ste\n', b"2"]
)
def test_a_last_line_cut_short_is_left_out(log, tail):
    with log.path.open("ab") as file:
        file.write(tail)
    assert steps(log) == [5, 10, 15]
    log.resume_at(15)
    log.write(20, loss=1.0)
    assert steps(log) == [5, 10, 15, 20]


def test_a_last_line_without_its_end_is_kept(log):
    log.path.write_text(log.path.read_text().rstrip("\n"))
    assert steps(log) == [5, 10, 15]
    log.resume_at(15)
    log.write(20, loss=1.0)
    assert steps(log) == [5, 10, 15, 20]


@pytest.mark.parametrize("line", ['{"step": 1', "[]", '{"loss": 1}', ""])
def test_a_broken_line_in_the_middle_is_an_error(log, line):
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl:2 .*remove that line"):
        read(log.path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_json_is_refused_and_writes_nothing(log, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.write(20, loss=value)
    assert steps(log) == [5, 10, 15]

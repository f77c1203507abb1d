"""Files that grow by lines read alike, of a disk and in parts in a bucket."""

import pytest

from flowjax_ood.runtime import line_files
from flowjax_ood.runtime.line_files import line_file
from flowjax_ood.runtime.paths import as_path
from tests.helpers.bucket import SENDS


@pytest.fixture
def path(place):
    return place / "metrics.jsonl"


def test_lines_are_read_in_the_order_they_came(path, monkeypatch):
    monkeypatch.setattr(line_files, "LARGEST", 25)
    with pytest.raises(FileNotFoundError):
        line_file(path).read()
    first = line_file(path)
    first.create()
    first.create()
    assert first.read() == b""
    lines = [b"line %d\n" % n for n in range(12)]
    for line in lines[:8]:
        first.append(line)
    assert first.read() == b"".join(lines[:8])
    # a later session
    second = line_file(path)
    second.create()
    for line in lines[8:]:
        second.append(line)
    assert line_file(path).read() == b"".join(lines)
    second.replace(b"".join(lines[:3]))
    assert line_file(path).read() == b"".join(lines[:3])
    second.append(b"end\n")
    line_file(path).append(b"after\n")
    assert line_file(path).read() == b"".join(lines[:3]) + b"end\nafter\n"
    second.replace(b"")
    assert line_file(path).read() == b""


def test_parts_are_few(bucket):
    path = as_path(f"{bucket}/run/metrics.jsonl")
    log = line_file(path)
    for number in range(20):
        log.append(b"line %d\n" % number)
    folder = path.with_name("metrics.jsonl.parts")
    assert len(folder.objects()) == 1
    # what a crash left between the new part and the removal of the old ones
    old = folder.objects()[0]
    content = old.read_bytes()
    log.replace(b"kept\n")
    old.write_bytes(content)
    (folder / "notes.txt").write_bytes(b"not a part\n")
    assert line_file(path).read() == b"kept\n"


def test_a_part_that_failed_is_not_added_to_twice(emulator, bucket, monkeypatch):
    monkeypatch.setenv("FLOWJAX_OOD_BUCKET_SECONDS", "0.3")
    log = line_file(as_path(f"{bucket}/run/events.jsonl"))
    log.append(b"1\n")
    emulator.faults({"how": "refuse", "method": SENDS})
    with pytest.raises(OSError, match="failed for"):
        log.append(b"lost\n")
    emulator.faults()
    log.append(b"2\n")
    assert log.read() == b"1\n2\n"

"""Standard streams that take nothing more end no work, and are in the exit status."""

import errno
import os
import sys
from types import SimpleNamespace

import pytest

from flowjax_ood.interface import streams
from flowjax_ood.runtime.messages import say, warn
from flowjax_ood.runtime.progress import progress


def like(encoding="utf-8", unbuffered=False):
    return SimpleNamespace(
        encoding=encoding, line_buffering=False, write_through=unbuffered
    )


@pytest.fixture
def broken():
    """The number of a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_broken_pipe_is_quiet_and_in_the_status(monkeypatch, broken, unbuffered):
    stream = streams._outlived(like(unbuffered=unbuffered), broken, "replace")
    monkeypatch.setattr(sys, "stdout", stream)
    print("x" * 100_000)
    assert streams.finished(0) == 141
    assert streams.lost(stream).errno == errno.EPIPE
    # what else was wrong matters more
    assert streams.finished(75) == 75


def test_output_on_a_full_disk_is_an_error_after_the_work(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        stream = streams._outlived(like(), full.fileno(), "replace")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            print("a table")
            assert streams.finished(0) == 2
    assert capsys.readouterr().err == (
        "error: standard output is not whole: No space left on device; the work is "
        "done\n"
    )


def test_whole_output_of_any_encoding_is_no_error(monkeypatch):
    reads, writes = os.pipe()
    stream = streams._outlived(like("ascii"), writes, "replace")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        print("1.0 ± 0.1 ▁█")
        assert streams.finished(0) == 0
    assert streams.lost(stream) is None
    assert os.read(reads, 99) == b"1.0 ? 0.1 ??\n"
    os.close(reads)
    os.close(writes)


def test_other_streams_have_lost_nothing(capsys):
    assert streams.lost(sys.stdout) is None
    assert streams.finished(0) == 0


class Full:
    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = isatty = lambda self: False


@pytest.mark.parametrize("stream", [None, Full()])
def test_nothing_ends_for_want_of_standard_error(monkeypatch, capsys, stream):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        say("a line")
        warn("a warning")
        with progress("train", 2, "steps") as shown:
            shown.advance(2)
    # nor does standard output hear what is not for it
    assert capsys.readouterr().out == ""

"""Progress in a log file and on a terminal."""

import io
import sys

import pytest

from flowjax_ood.runtime import progress as module
from flowjax_ood.runtime.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when the test says so."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_every_interval_with_an_eta(clock, capsys):
    with progress("training", 100, "steps") as shown:
        for done in range(1, 101):
            clock.now += 1
            shown.advance(done, bpd=f"{3:.1f}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 15/100 steps  bpd 3.0  ETA 0:01:25"
    assert [line.split()[1] for line in lines] == [
        *(f"{n}/100" for n in range(15, 100, 15)),
        "100/100",
    ]
    assert lines[-1] == "training: 100/100 steps  bpd 3.0"


def test_the_eta_counts_from_where_the_work_was_resumed(clock, capsys):
    with progress("training", 3700, "steps", done=90) as shown:
        clock.now += 20
        shown.advance(100)
    # 10 steps in 20 s, 3600 to go
    assert capsys.readouterr().err == "training: 100/3700 steps  ETA 2:00:00\n"


def test_no_eta_without_progress(clock, capsys):
    with progress("training", 10, "steps", done=4) as shown:
        clock.now += 20
        shown.advance(4)
    assert capsys.readouterr().err == "training: 4/10 steps\n"


def test_what_was_not_yet_shown_is_shown_at_the_end(clock, capsys):
    def work():
        with progress("work", 100, "images") as shown:
            clock.now += 1
            shown.advance(3, bpd="2.5")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert "work: 3/100 images  bpd 2.5" in capsys.readouterr().err


def test_the_end_is_shown_once(clock, capsys):
    with progress("work", 2, "images") as shown:
        shown.advance(2)
    assert capsys.readouterr().err.splitlines() == ["work: 2/2 images"]


def test_nothing_done_shows_nothing(capsys):
    with progress("work", 2, "images", done=2):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    # brackets in a name are text, not markup that can fail
    with progress("run[1] [/x]", 10, "steps", done=4) as shown:
        shown.advance(10, bpd="[2.5]")
    text = terminal.getvalue()
    assert "run[1] [/x]" in text
    assert "10/10" in text
    assert "bpd [2.5]" in text


def test_an_exception_closes_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bars = []

    def work():
        with progress("work", 10, "steps") as shown:
            bars.append(shown.bar.live)
            assert bars[0].is_started
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert not bars[0].is_started

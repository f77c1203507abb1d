"""Signals ask to stop, a second Ctrl-C insists, and handlers come back."""

import signal
import threading

import pytest

from flowjax_ood.runtime.signals import Interrupted, StopRequest

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_noted(number):
    with StopRequest() as stop:
        assert stop.signum is None
        signal.raise_signal(number)
        assert stop.signum == number


def test_handlers_are_restored():
    before = [signal.getsignal(number) for number in BOTH]
    with StopRequest():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before
    with pytest.raises(RuntimeError, match="work failed"), StopRequest():
        raise RuntimeError("work failed")
    assert [signal.getsignal(number) for number in BOTH] == before


@pytest.mark.parametrize("first", [[], [signal.SIGTERM], [signal.SIGTERM] * 3])
@pytest.mark.parametrize("between", [[], [signal.SIGTERM]])
def test_a_second_ctrl_c_ends_at_once(first, between):
    with StopRequest() as stop:
        for number in [*first, signal.SIGINT, *between]:
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        # the exit code is that of the first signal
        assert stop.signum == [*first, signal.SIGINT][0]


def test_outside_the_main_thread_nothing_is_installed():
    before, inside = signal.getsignal(signal.SIGINT), []

    def work():
        with StopRequest() as stop:
            inside.append((stop.signum, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [(None, before)]


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_interrupted_tells_signal_step_and_exit_code(number, code):
    error = Interrupted(number, 7)
    assert str(error) == f"{signal.Signals(number).name} at step 7"
    assert (error.exit_code, error.step) == (code, 7)

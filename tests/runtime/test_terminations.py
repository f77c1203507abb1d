"""SIGTERM as an exception: answered once, and not where somebody chose otherwise."""

import signal

import pytest

from flowjax_ood.runtime.terminations import Terminated, terminations


def test_one_sigterm_is_answered_and_later_ones_are_ignored():
    cleaned = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    with pytest.raises(Terminated) as stopped, terminations():
        work()
    assert cleaned == [True]
    assert stopped.value.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("chosen", [signal.SIG_IGN, lambda *_: None])
def test_a_handler_that_somebody_chose_stays(chosen):
    before = signal.signal(signal.SIGTERM, chosen)
    try:
        with terminations():
            assert signal.getsignal(signal.SIGTERM) == chosen
        assert signal.getsignal(signal.SIGTERM) == chosen
    finally:
        signal.signal(signal.SIGTERM, before)

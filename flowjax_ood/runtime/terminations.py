"""SIGTERM outside of training: an exception, as Ctrl-C is. It needs no JAX."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken as Ctrl-C is."""

    signum = signal.SIGTERM


@contextmanager
def terminations() -> Iterator[None]:
    """Raise Terminated at the first SIGTERM, which else ends it without a word.

    Later ones are ignored, so that nothing breaks what the first one cleans up. Python
    answers between two of its own steps: what is being compiled is compiled first. Not
    where somebody has chosen otherwise, and outside the main thread, where Python
    allows no handlers.
    """
    chosen = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if chosen or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

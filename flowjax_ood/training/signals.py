"""Ctrl-C and SIGTERM ask a run to stop; the loop saves and leaves."""

import signal
import threading


class Interrupted(Exception):
    """Training was asked to stop and saved a checkpoint first."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"{signal.Signals(signum).name} at step {step}")
        self.signum, self.step = signum, step

    @property
    def exit_code(self) -> int:
        """128 + signal number, as shells report it."""
        return 128 + self.signum


class StopRequest:
    """While open, SIGINT and SIGTERM set `signum` instead of ending the process.

    `signum` is the first signal that came. A second SIGINT raises KeyboardInterrupt at
    once, in case saving hangs. Outside the main thread, where Python allows no
    handlers, nothing is installed.
    """

    def __init__(self):
        self.signum: int | None = None
        self._asked_by_keyboard = False
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc):
        for number, handler in self._previous.items():
            # None is a handler that was not installed by Python: out of our reach
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number, frame):
        if number == signal.SIGINT and self._asked_by_keyboard:
            raise KeyboardInterrupt
        self._asked_by_keyboard |= number == signal.SIGINT
        self.signum = self.signum or number

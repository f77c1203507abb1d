"""Ctrl-C and SIGTERM ask a run to stop; the loop saves and leaves.

Of several processes, one is signalled, or some, or all. They agree on a step through
JAX's preemption service, which takes SIGTERM by a handler of its own; ours passes the
signal on to it.
"""

import ctypes
import itertools
import signal
import sys
import threading
from typing import Any

import jax

from flowjax_ood.runtime.processes import everyones

# of polls by all runs in this process: the service counts them, and they never go back
_polls = itertools.count(1)
# JAX's own handler of SIGTERM, once `release_sigterm` has seen it
_service_handler: int | None = None


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

    def __init__(self) -> None:
        self.signum: int | None = None
        self._asked_by_keyboard = False
        # handlers, or what stands for none
        self._previous: dict[int, Any] = {}

    def agreed(self) -> int | None:
        """Return the signal to stop for now, the same on every process after a step.

        All processes ask after every step, or after every call of several steps. One
        that was not signalled stops for SIGTERM.
        """
        if jax.process_count() == 1:
            return self.signum
        from jax.experimental import multihost_utils

        if multihost_utils.reached_preemption_sync_point(next(_polls)):
            return self.signum or signal.SIGTERM
        return None

    def at_end(self) -> int | None:
        """Return the signal that came to any process by now, the same on every one.

        For a last look, after the last step: a collective, which waits for all.
        """
        if any(everyones(bool(self.signum))):
            return self.signum or signal.SIGTERM
        return None

    def __enter__(self):
        if jax.process_count() > 1:
            release_sigterm()
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
        if _service_handler is not None:
            ctypes.CFUNCTYPE(None, ctypes.c_int)(_service_handler)(signal.SIGTERM)


def release_sigterm() -> None:
    """Give SIGTERM back its meaning where JAX's preemption service has taken it.

    Initialising several processes leaves SIGTERM with a handler that only takes note:
    outside of training nothing would end a process but SIGKILL. Keeps that handler for
    `StopRequest`. Call it after `jax.distributed.initialize`, in the main thread.
    """
    global _service_handler
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or sys.platform not in ("linux", "darwin"):
        return
    address = _address(signal.SIGTERM)
    # SIG_DFL is 0, SIG_IGN is 1; and that of Python's own, which SIGINT has
    ours = [0, 1]
    if callable(signal.getsignal(signal.SIGINT)):
        ours.append(_address(signal.SIGINT))
    if address in ours:
        return
    _service_handler = address
    # what Python still takes for the handler, such as one of the caller's
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _address(number: int) -> int:
    """Address of a signal's handler; the first field of the C library's struct."""
    action = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).sigaction(int(number), None, action):
        return 0
    return ctypes.cast(action, ctypes.POINTER(ctypes.c_void_p))[0] or 0

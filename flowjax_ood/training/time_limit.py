"""A training that stops in time, before whoever gave it the machine takes it back."""

import time

from flowjax_ood.runtime.processes import everyones


class TimeLimit:
    """Seconds from now on, of which the next stretch of steps may be too long.

    Asked after every stretch, such as the steps between two records of metrics: the
    next one is expected to take as long as the last. With 0 seconds, never reached.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._begun = self._asked = time.monotonic()

    def reached(self) -> bool:
        """Tell whether to stop now, the same on every process: a collective."""
        if not self.seconds:
            return False
        last, self._asked = self._asked, time.monotonic()
        expected = self._asked + (self._asked - last)
        return any(everyones(expected - self._begun > self.seconds))

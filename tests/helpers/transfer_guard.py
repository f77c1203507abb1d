"""A training loop held to moving nothing that is not asked for."""

import contextlib

import jax


class Guarded:
    """From the first step on, the loop may move nothing that is not asked for.

    The loop tells it of every call in its own thread, so it is the loop that is held
    to this, and not what comes before (the state) or after.
    """

    def __init__(self):
        self.calls = 0
        self._guard = contextlib.ExitStack()

    def __enter__(self) -> "Guarded":
        return self

    def __exit__(self, *failure) -> None:
        self._guard.close()

    def before(self, step: int, count: int = 1) -> None:
        if not self.calls:
            self._guard.enter_context(jax.transfer_guard("disallow"))
        self.calls += 1

    def after(self, step: int, metrics) -> None:
        assert jax.config.jax_transfer_guard_host_to_device == "disallow"

"""One run, one workdir: nobody else writes there."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from flowjax_ood.interface.errors import UserError, writing
from flowjax_ood.runtime.files import try_writing
from flowjax_ood.runtime.locks import Held, hold
from flowjax_ood.runtime.paths import AnyPath
from flowjax_ood.runtime.processes import on_lead

# seconds for which `status` may hold the lock, to see whether a run does
GLANCE = 0.1


class InUseError(UserError):
    """Another process works in that workdir."""


def check_writable(option: str, directory: AnyPath) -> None:
    """Make `directory`, and write there: better now than after hours of work.

    Raises UserError, naming the option, where that fails. Of several processes, process
    0 tries.
    """

    def attempt() -> None:
        with writing(option, directory):
            try_writing(directory)

    on_lead(attempt)


@contextmanager
def locked(workdir: AnyPath) -> Iterator[None]:
    """Hold the workdir for this run; InUseError if another run does.

    The lock is that of process 0, and goes with it, however it ends.
    """
    with ExitStack() as stack:

        def acquire() -> None:  # what it returned would go to the other processes
            stack.enter_context(_acquired(workdir))

        on_lead(acquire)
        yield


def _acquired(workdir: AnyPath) -> AbstractContextManager:
    """The lock of the workdir, held until the context ends."""
    with writing("--workdir", workdir):
        try:
            return hold(workdir / ".lock", GLANCE)
        except Held as holder:
            raise InUseError(
                f"{workdir} is in use by {holder}; wait for it, or give another "
                "--workdir"
            ) from holder

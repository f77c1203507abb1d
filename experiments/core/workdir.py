"""One run, one workdir: nobody else writes there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flowjax_ood.interface.errors import UserError, writing
from flowjax_ood.runtime.processes import on_lead

# seconds for which `status` may hold the lock, to see whether a run does
GLANCE = 0.1


class InUseError(UserError):
    """Another process works in that workdir."""


def check_writable(option: str, directory: Path) -> None:
    """Make `directory`, and write there: better now than after hours of work.

    Raises UserError, naming the option, where that fails. Of several processes, process
    0 tries.
    """

    def attempt() -> None:
        with writing(option, directory):
            directory.mkdir(parents=True, exist_ok=True)
            # some bytes: a name alone fits on a full disk
            with tempfile.TemporaryFile(dir=directory) as file:
                file.write(bytes(4096))

    on_lead(attempt)


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir for this run; InUseError if another run does.

    The lock is that of process 0, and goes with it, however it ends.
    """
    with ExitStack() as stack:

        def acquire() -> None:  # what it returned would go to the other processes
            stack.enter_context(_acquired(workdir))

        on_lead(acquire)
        yield


def _acquired(workdir: Path) -> AbstractContextManager:
    """The lock of the workdir, held until the context ends."""
    file = workdir / ".lock"
    with writing("--workdir", workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(file, timeout=GLANCE, poll_interval=GLANCE / 4).acquire()
        except Timeout as error:
            raise InUseError(
                f"{workdir} is in use by process {file.read_text() or 'unknown'}; wait "
                "for it, or give another --workdir"
            ) from error
        file.write_text(str(os.getpid()))
    return held

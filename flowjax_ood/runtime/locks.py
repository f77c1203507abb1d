"""A lock that one process holds: a file of a disk, or objects of a bucket."""

import os
from contextlib import AbstractContextManager, contextmanager

from flowjax_ood.runtime import leases
from flowjax_ood.runtime.leases import Held
from flowjax_ood.runtime.paths import AnyPath, BucketPath

__all__ = ["Held", "hold", "is_held"]


def hold(path: AnyPath, wait: float) -> AbstractContextManager:
    """Take the lock at `path`, until the context that is returned ends.

    On a disk it goes with the process, however that ends; in a bucket, see `leases`.
    Raises Held where another process has it, and OSError where it cannot be made.

    `wait`: seconds for a process that only looks whether the lock is held (`is_held`).
    """
    if isinstance(path, BucketPath):
        lease = leases.Lease(path.url)
        lease.acquire()
        return _released(lease)
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path, timeout=wait, poll_interval=wait / 4).acquire()
    except Timeout as error:
        raise Held(f"process {path.read_text() or 'unknown'}") from error
    path.write_text(str(os.getpid()))
    return held


@contextmanager
def _released(lease: leases.Lease):
    try:
        yield
    finally:
        lease.release()


def is_held(path: AnyPath) -> bool:
    """Whether a process holds the lock; FileNotFoundError where there is no file.

    A file is locked for an instant, for which a run that starts just then waits.
    """
    if isinstance(path, BucketPath):
        return leases.is_held(path.url)
    from filelock import lock_descriptor

    with path.open("rb") as file:
        return not lock_descriptor(file.fileno(), blocking=False)

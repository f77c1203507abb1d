"""One run, one workdir: nobody else writes there, and its data stays its data."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from experiments.config import UserError
from flowjax_ood.analysis.atomic import write_bytes
from flowjax_ood.data.image_set import ImageSet
from flowjax_ood.data.stored_set import StoredSet


class InUseError(UserError):
    """Another process works in that workdir."""


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir for this process; InUseError if another one does.

    The lock goes with the process, however it ends.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / ".lock").open("a+")
    except OSError as error:
        raise UserError(f"cannot write in --workdir {workdir}: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise InUseError(
                f"{workdir} is in use by process {holder}; wait for it, or give another"
                " --workdir"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def fingerprint(train: StoredSet | np.ndarray) -> dict:
    """What tells one training set from another: shape, and a hash of all bytes."""
    events = train if isinstance(train, np.ndarray) else train.events
    digest = hashlib.sha256(np.ascontiguousarray(events)).hexdigest()
    return {"shape": list(events.shape), "sha256": digest}


def keep_data(
    train: StoredSet,
    workdir: Path,
    negative: ImageSet | None = None,
    **others: np.ndarray,
) -> None:
    """Write data.json, or check that a run goes on with the data it began with.

    `negative`: the images of negative training, which are data of the run as well, and
    so are `others`, by the name they are called in errors.

    Raises UserError, changing nothing, for other data, wherever it came from.
    """
    file = workdir / "data.json"
    now = fingerprint(train)
    if negative is not None:
        now["negative"] = fingerprint(negative)
    now |= {name: fingerprint(other) for name, other in others.items()}
    if not file.exists():
        write_bytes(file, f"{json.dumps(now, indent=2)}\n".encode())
        return
    try:
        before = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}); restore it") from error
    changed = [name for name in others if before.get(name) != now[name]]
    if changed:
        raise UserError(
            f"the {' and '.join(changed)} of {workdir} were others; give those of that "
            "run, or another --workdir"
        )
    if before != now:
        raise UserError(
            f"the training {train.KIND} are not those {workdir} was trained on: shape "
            f"{before.get('shape')} there, {now['shape']} now, or other "
            f"{train.VALUES}; give the data of that run (config.data), or another "
            "--workdir"
        )

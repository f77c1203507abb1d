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
from flowjax_ood.data.image_set import ImageSet


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir for this process; UserError if another one does.

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
            raise UserError(
                f"{workdir} is in use by process {holder}; wait for it, or give another"
                " --workdir"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def fingerprint(images: ImageSet) -> dict:
    """What tells one training set from another: shape, and a hash of all bytes."""
    digest = hashlib.sha256(np.ascontiguousarray(images.images)).hexdigest()
    return {"shape": list(images.images.shape), "sha256": digest}


def keep_data(images: ImageSet, workdir: Path) -> None:
    """Write data.json, or check that a run goes on with the images it began with.

    Raises UserError, changing nothing, for other images, wherever they came from.
    """
    file = workdir / "data.json"
    now = fingerprint(images)
    if not file.exists():
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(now, indent=2) + "\n")
        temporary.replace(file)
        return
    try:
        before = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is not JSON ({error}); restore it") from error
    if before != now:
        raise UserError(
            f"the training images are not those {workdir} was trained on: shape "
            f"{before.get('shape')} there, {now['shape']} now, or other pixels; give "
            "the data of that run (config.data), or another --workdir"
        )

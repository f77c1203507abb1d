"""One run, one workdir: nobody else writes there, and its data stays its data."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from experiments.core.errors import UserError, user_errors, writing
from flowjax_ood.data.sets import ImageSet, StoredSet
from flowjax_ood.data.streaming import StreamedImageSet
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.processes import on_all, on_lead

# keys of data.json: hashes of all images and of a sample of them, and where images come
# from that are not all looked at
WHOLE, SAMPLE, ORIGIN = "sha256", "sample_sha256", "origin"
SAMPLED = 256
# seconds, more than a look at the lock takes
GLANCE = 0.1


class InUseError(UserError):
    """Another process works in that workdir."""


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold the workdir for this run; InUseError if another one does.

    The lock is that of process 0, and goes with it, however it ends.
    """
    with ExitStack() as stack:
        on_lead(lambda: stack.enter_context(_locked(workdir)))
        yield


@contextmanager
def _locked(workdir: Path) -> Iterator[None]:
    with writing("--workdir", workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / ".lock").open("a+")
    with file:
        try:
            _lock(file)
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


def _lock(file: TextIO) -> None:
    """Take the lock; BlockingIOError where another process holds it."""
    exclusive = fcntl.LOCK_EX | fcntl.LOCK_NB
    try:
        fcntl.flock(file, exclusive)
    except BlockingIOError:
        # `status` may be looking, which holds it for an instant
        time.sleep(GLANCE)
        fcntl.flock(file, exclusive)


def fingerprint(train: StoredSet | np.ndarray) -> dict:
    """What tells one training set from another: shape, and a hash of all bytes.

    Of a set that is read as it is asked for, in place of the latter, its origin and a
    hash of a sample: `SAMPLED` images, evenly spread over it, the first and the last
    among them. A change of a few other images goes unseen.
    """
    if isinstance(train, StreamedImageSet):
        found = {"shape": list(train.images.shape), ORIGIN: train.origin}
        return found | {SAMPLE: _sample_hash(train)}
    events = train if isinstance(train, np.ndarray) else train.events
    return {"shape": list(events.shape), WHOLE: _hash(events)}


def sampled_rows(count: int) -> np.ndarray:
    """Positions of the images that stand for all of a set, int64, at most `SAMPLED`."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))


def _agree(before: dict, now: dict) -> bool:
    """Whether two fingerprints, of a set in memory or streamed, can be of one set."""
    either = {WHOLE, SAMPLE, ORIGIN}
    keys = (before.keys() | now.keys()) - either
    keys |= either & before.keys() & now.keys()
    return all(k in before and k in now and before[k] == now[k] for k in keys)


def _sample_hash(train: ImageSet | StreamedImageSet) -> str:
    return _hash(train.images[sampled_rows(len(train))])


def _hash(events: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(events)).hexdigest()


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
    if isinstance(train, ImageSet):
        # a run may go on with the same images streamed, of which no more is read
        now[SAMPLE] = _sample_hash(train)
    if negative is not None:
        now["negative"] = fingerprint(negative)
    now |= {name: fingerprint(other) for name, other in others.items()}
    lead = on_lead(lambda: now)
    on_all(lambda: _check_equal(now, lead))
    on_lead(lambda: _keep(file, now, train, workdir, list(others)))


def _check_equal(own: dict, lead: dict) -> None:
    if own != lead:
        changed = [name for name in own if own[name] != lead.get(name)]
        raise UserError(
            f"the data of this host are not those of process 0 ({', '.join(changed)} "
            "differ); give every host the same files"
        )


def _keep(file: Path, now: dict, train: StoredSet, workdir: Path, others: list) -> None:
    if not file.exists():
        write_bytes(file, f"{json.dumps(now, indent=2)}\n".encode())
        return
    with user_errors(f"{file} is not JSON", ValueError, remedy="restore it"):
        before = json.loads(file.read_text())
    changed = [name for name in others if before.get(name) != now[name]]
    if changed:
        raise UserError(
            f"the {' and '.join(changed)} of {workdir} were others; give those of that "
            "run, or another --workdir"
        )
    if not {WHOLE, SAMPLE} & before.keys() & now.keys():
        raise UserError(
            f"{file} is too old to tell whether images that are streamed are those "
            f"{workdir} was trained on; set config.data.streaming to False"
        )
    if not _agree(before, now):
        raise UserError(
            f"the training {train.KIND} are not those {workdir} was trained on: shape "
            f"{before.get('shape')} there, {now['shape']} now, or other "
            f"{train.VALUES}; give the data of that run (config.data), or another "
            "--workdir"
        )

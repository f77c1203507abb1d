"""The identity of a run's data: data.json, which a run goes on with or is refused."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.core import json_file
from experiments.core.json_file import Items
from flowjax_ood.data.sets import ImageSet, StoredSet
from flowjax_ood.data.streaming import StreamedImageSet
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.processes import on_all, on_lead

# keys of data.json: hashes of all images and of a sample of them, and the origin of
# images that are not all looked at
WHOLE, SAMPLE, ORIGIN = "sha256", "sample_sha256", "origin"
SAMPLED = 256


def fingerprint(train: StoredSet | np.ndarray) -> dict:
    """Tell one training set from another by its shape and a hash of all bytes.

    Of a streamed set, in place of the latter, by its origin and a hash of a sample:
    `SAMPLED` images, evenly spread over it, the first and the last among them. A change
    of a few other images goes unseen.
    """
    if isinstance(train, StreamedImageSet):
        kept = {ORIGIN: train.origin, SAMPLE: _sample_hash(train)}
        return {"shape": list(train.images.shape)} | kept
    events = train if isinstance(train, np.ndarray) else train.events
    return {"shape": list(events.shape), WHOLE: _hash(events)}


def sampled_rows(count: int) -> np.ndarray:
    """Positions of the images that stand for all of a set, int64, at most `SAMPLED`."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLED)).astype(np.int64))


def looked_at(events: StoredSet) -> StoredSet:
    """A set in memory, or the sample of a streamed set that checks look at."""
    if isinstance(events, StreamedImageSet):
        return events.at(sampled_rows(len(events)))
    return events


def _agree(before: dict, now: dict) -> bool:
    """Whether two fingerprints, of a set in memory or streamed, can be of one set."""
    either = {WHOLE, SAMPLE, ORIGIN}
    differ = {k for k in before | now if before.get(k) != now.get(k)}
    return not differ - either and not differ & before.keys() & now.keys()


def _sample_hash(train: ImageSet | StreamedImageSet) -> str:
    return _hash(train.images[sampled_rows(len(train))])


def _hash(events: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(events).data).hexdigest()


def of_sets(sets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of sets for `keep_data`, as its errors call them."""
    return {f"set {name!r}": x for name, x in sets.items()}


def keep_data(
    train: StoredSet | np.ndarray,
    workdir: Path,
    negative: ImageSet | None = None,
    **others: np.ndarray,
) -> None:
    """Write data.json, or check that a run goes on with the data it began with.

    `train`: a set, or an array of images. `negative`: the images of negative training,
    which are data of the run as well, and so are `others`, by the name they are called
    in errors.

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


def _keep(file: Path, now: dict, train, workdir: Path, others: list) -> None:
    if not file.exists():
        write_bytes(file, f"{json.dumps(now, indent=2)}\n".encode())
        return
    before = json_file.read(file, {"shape": Items(int)}, remedy="restore it")
    changed = [name for name in others if before.get(name) != now[name]]
    if changed:
        raise UserError(
            f"the {' and '.join(changed)} of {workdir} were others; give those of that "
            "run, or another --workdir"
        )
    if not _agree(before, now):
        kind = "images" if isinstance(train, np.ndarray) else train.KIND
        raise UserError(
            f"the training {kind} are not those {workdir} was trained on: shape "
            f"{before.get('shape')} there, {now['shape']} now, or other values; "
            "give the data of that run (config.data), or another --workdir"
        )

"""The lock: kinds that are kept back are looked at once all else is settled."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.core import json_file
from experiments.core.json_file import Items
from experiments.core.results import write_json
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.messages import warn

FILE = "lock.json"
SHAPE = {"digest": str, "locks": int, "scores": Items(str), "earlier": Items(str)}
# in a run's own folder: what was looked at, from whatever folder of results
LOOKS = "looks.json"
SHAPE_OF_LOOKS = {"digests": Items(str)}
REMEDY = "move it away, and say so where you report the numbers"


class Lock(NamedTuple):
    """Whether the kinds kept back may be looked at, and how many locks there were.

    `locks`: those of the folder of results, or the looks at one of the runs, from all
    folders, where these are more.
    """

    open: bool
    locks: int


def turn(
    directory: Path,
    digest: str,
    scores: list[str],
    lock: bool,
    workdirs: Sequence[Path] = (),
) -> Lock:
    """Look for a lock of this digest; with `lock`, write one where there is none.

    Without one of this digest, the kinds kept back stay so. A lock of another digest is
    replaced, with its own noted in it. What is looked at is noted in the runs'
    `workdirs`, too: a new folder of results starts no new count. UserError for a
    damaged file.
    """
    file = directory / FILE
    known: dict[str, Any] = {"digest": "", "locks": 0, "earlier": []}
    if file.exists():
        known = json_file.read(file, SHAPE, remedy=REMEDY)
    looks = {workdir: _looks(workdir) for workdir in workdirs}
    found = Lock(known["digest"] == digest, known["locks"])
    ever = [*known["earlier"], *filter(None, [known["digest"]])]
    if lock and not found.open:
        found = Lock(True, known["locks"] + 1)
        content = {
            "digest": digest,
            "locks": found.locks,
            "scores": scores,
            "earlier": ever,
            "written": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        }
        write_json(file, content)
    if found.open:
        ever.append(digest)
    for workdir, noted in looks.items():
        # locks of this folder may be older than the runs' own notes
        looks[workdir] = list(dict.fromkeys([*noted, *ever]))
        if looks[workdir] != noted:
            _note(workdir, looks[workdir])
    return Lock(found.open, max(found.locks, *map(len, looks.values()), 0))


def _looks(workdir: Path) -> list[str]:
    """Digests of all that was looked at in the runs of a folder."""
    file = workdir / LOOKS
    if not file.exists():
        return []
    return json_file.read(file, SHAPE_OF_LOOKS, remedy=REMEDY)["digests"]


def _note(workdir: Path, digests: list[str]) -> None:
    try:
        write_json(workdir / LOOKS, {"digests": digests})
    except (OSError, UserError) as error:
        warn(f"the look is not noted in {workdir}, which cannot be written: {error}")

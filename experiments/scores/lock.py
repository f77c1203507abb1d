"""The lock: kinds that are kept back are looked at once all else is settled."""

import time
from pathlib import Path
from typing import NamedTuple

from experiments.core import json_file
from experiments.core.json_file import Items
from experiments.core.results import write_json

FILE = "lock.json"
SHAPE = {"digest": str, "locks": int, "scores": Items(str), "earlier": Items(str)}
REMEDY = "move it away, and say so where you report the numbers"


class Lock(NamedTuple):
    """Whether the kinds kept back may be looked at, and how many locks there were."""

    open: bool
    count: int


def turn(directory: Path, digest: str, scores: list[str], lock: bool) -> Lock:
    """Look for a lock of this digest; with `lock`, write one where there is none.

    Without one of this digest, the kinds kept back stay so. A lock of another digest is
    replaced, with its own noted in it. UserError for a damaged file.
    """
    file = directory / FILE
    known = {"digest": "", "locks": 0, "earlier": []}
    if file.exists():
        known = json_file.read(file, SHAPE, remedy=REMEDY)
    if known["digest"] == digest:
        return Lock(True, known["locks"])
    if not lock:
        return Lock(False, known["locks"])
    earlier = [*known["earlier"], *filter(None, [known["digest"]])]
    count = known["locks"] + 1
    content = {
        "digest": digest,
        "locks": count,
        "scores": scores,
        "earlier": earlier,
        "written": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
    }
    write_json(file, content)
    return Lock(True, count)

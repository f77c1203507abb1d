"""The files of a run, read by `status` and left as they are, without JAX or NumPy."""

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import pairwise

from experiments.core import json_file
from experiments.core.json_file import Each, IfThere, Items, Maybe
from experiments.core.run_search import search
from flowjax_ood.interface.errors import UserError
from flowjax_ood.runtime.files import folders_and_files
from flowjax_ood.runtime.locks import is_held
from flowjax_ood.runtime.paths import AnyPath
from flowjax_ood.training.checkpoints import manifest
from flowjax_ood.training.logs import events as event_log
from flowjax_ood.training.logs import metrics as metric_log

# what is looked at of a run's files
LENGTH = {name: IfThere(float) for name in ("num_steps", "num_epochs", "batch_size")}
# where commands that train systems keep what they train
WITHIN = ("networks", "flows", "adapted", "rounds", "stages")
CONFIG = {"train": IfThere(LENGTH), "exposure": IfThere(LENGTH)}
DATA = {"shape": IfThere(Items(int, 1))}
RESULTS = {
    "steps": IfThere(int),
    "in_distribution": IfThere(str),
    "bits_per_dim": IfThere(Each(Maybe(float))),
    "auroc": IfThere(Each(float)),
}
# seconds: the least, and what XLA, or something else that is not timed, may take
PATIENCE, COMPILING = 120.0, 1800.0


class RunFiles:
    """The content of a workdir, and what it says; times are seconds since 1970.

    Files that are missing are empty here; those that cannot be read are named in
    `unreadable`. `check` compares the checksums of the newest checkpoint, which alone
    is read: `newest` is None without any, `saved` are the steps of all.
    """

    def __init__(self, workdir: AnyPath, check: bool = False):
        self.workdir = workdir
        self.unreadable: list[str] = []
        self.config = self._read("config.json", _json(CONFIG), {})
        self.metrics = self._read("metrics.jsonl", metric_log.read, [])
        self.events = self._read(event_log.NAME, event_log.read, [])
        self.saved, self.newest = self._read(
            "checkpoints", lambda path: _checkpoints(path, check), ([], None)
        )
        self.results = self._read("results.json", _json(RESULTS), None)
        # of a command that trains a system: stages that have ended
        self.stages = len(self._read("stages", _stages, []))
        self.held = self._read(".lock", is_held, False)
        self.written = _newest(workdir)
        if not self.metrics:
            # commands that train systems write below
            inside = [workdir / n for n in WITHIN if (workdir / n).is_dir()]
            self.written = max([self.written, *map(_newest_below, inside)])
        data = self._read("data.json", _json(DATA), {})

        kinds = [event["event"] for event in self.events]
        # the events since the last session began; none where no event says so
        sessions = [at for at, kind in enumerate(kinds) if kind == "started"]
        session = self.events[sessions[-1] :] if sessions else []
        self.sessions = len(sessions)
        self.started = session[0] if session else {}
        self.saves = [e for e in session if e["event"] == "checkpoint"]
        # the last event that begins or ends a session
        marks = (*event_log.ENDINGS, "started")
        self.marker: dict = next(
            (e for e in reversed(self.events) if e["event"] in marks), {}
        )
        # all metrics where no event says when the session began
        start = self.started.get("step", 0) if session else -1
        self.session_metrics = [m for m in self.metrics if m["step"] > start]
        logged = self.metrics[-1]["step"] if self.metrics else 0
        self.done = max(logged, *self.saved[-1:], 0)
        self.planned = self.started.get("num_steps") or self._configured_steps(data)

    def silence(self) -> float:
        """Seconds without a sign of life after which the run counts as silent."""
        recent = self.session_metrics[-6:]
        logged = [m["seconds"] for m in recent if "seconds" in m]
        gaps = [b - a for a, b in pairwise(logged)]
        usual = 10 * max(gaps, default=0.0)
        usual += 5 * max((e.get("seconds", 0.0) for e in self.saves), default=0.0)
        # programs are compiled for the first checkpoint, too; and validation is not
        # timed
        validated = any("validation" in m for m in recent)
        known = gaps and self.saves and not validated
        return usual + (PATIENCE if known else COMPILING)

    def _read(self, name: str, reader, otherwise):
        try:
            return reader(self.workdir / name)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self.unreadable.append(f"{name}: {error}")
        return otherwise

    def _configured_steps(self, data: dict) -> int | None:
        # fine-tuned copies of networks are trained by the section `exposure`
        exposed = self.workdir.name.endswith("_exposed")
        c = self.config.get("exposure" if exposed else "train", {})
        shape, batch = data.get("shape"), c.get("batch_size")
        if c.get("num_steps") or not (shape and batch and c.get("num_epochs")):
            return c.get("num_steps") or None
        return math.ceil(c["num_epochs"] * shape[0] / batch)


def _newest(directory: AnyPath) -> float:
    """When what is in a directory was last written; 0 for nothing."""
    newest = 0.0
    for path in directory.iterdir():
        if path.name == ".lock":  # of no work that is done
            continue
        with suppress(OSError):  # gone since: a temporary file
            newest = max(newest, path.stat().st_mtime)
    return newest


def _newest_below(directory: AnyPath, depth: int = 3) -> float:
    newest = 0.0
    with suppress(OSError):
        newest = _newest(directory)
        for folder in folders_and_files(directory)[0] if depth else ():
            newest = max(newest, _newest_below(directory / folder, depth - 1))
    return newest


def find_runs(directory: AnyPath) -> list[AnyPath]:
    """The workdirs of runs at `directory` or below, in the order of their names.

    Raises UserError where there is none.
    """
    if not directory.is_dir():
        raise UserError(f"no directory {directory}; give the --workdir of a run")
    runs = search(directory)
    if not runs:
        raise UserError(
            f"{directory} holds no run, nor do the directories below it (no "
            "config.json); train one first"
        )
    return runs


def _stages(directory: AnyPath) -> list[str]:
    files = folders_and_files(directory)[1]
    return [f for f in files if f.endswith(".json") and not f.startswith(".")]


def seconds_of(event: dict) -> float:
    """An event's time, in seconds since 1970; 0 where it is unreadable."""
    try:
        return datetime.fromisoformat(event["time"]).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _json(shape: dict) -> Callable[[AnyPath], dict]:
    return partial(json_file.load, shape=shape)


def _checkpoints(directory: AnyPath, check: bool) -> tuple[list[int], dict | None]:
    """Steps of the complete checkpoints, oldest first, and a description of the newest.

    `written`: seconds since 1970; `bytes` of all files; `damage`: what is wrong with
    it; `sealed`: whether it has a manifest, which lists its files.
    """
    # one that is being written has a longer name
    steps = sorted(int(p.name) for p in directory.iterdir() if _is_checkpoint(p))
    while steps:
        path = directory / str(steps[-1])
        try:
            return steps, {
                "written": path.stat().st_mtime,
                "bytes": sum(p.stat().st_size for p in path.rglob("*") if p.is_file()),
                "damage": manifest.damage(path, checksums=check),
                "sealed": (path / manifest.NAME).is_file(),
            }
        except FileNotFoundError:
            steps.pop()  # removed while we look
    return [], None


def _is_checkpoint(path: AnyPath) -> bool:
    """Whether it is a step's folder, with something in it; others are strangers."""
    named = path.name.isdecimal() and path.name.isascii()
    return named and path.is_dir() and any(path.iterdir())

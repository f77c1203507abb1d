"""The files of a run, read by `status` and left as they are, without JAX or NumPy."""

import fcntl
import json
import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from experiments.core.errors import UserError
from flowjax_ood.training.checkpoints import manifest
from flowjax_ood.training.logs import events as event_log
from flowjax_ood.training.logs import metrics as metric_log

# folders of a run that hold no runs, and how deep runs are searched for
INSIDE = {"checkpoints", "damaged_checkpoints", "best", "profile", "tensorboard"}
DEPTH = 4
# seconds: the least, and what XLA, or something else that is not timed, may take
PATIENCE, COMPILING = 120.0, 1800.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    `written`: seconds since 1970; `size`: bytes of all files; `damage`: what is wrong
    with it; `sealed`: False without a manifest, which lists its files.
    """

    step: int
    written: float
    size: int = 0
    damage: str = ""
    sealed: bool = True


@dataclass(frozen=True)
class RunFiles:
    """The content of a workdir; times are seconds since 1970."""

    workdir: Path
    config: dict
    data: dict
    metrics: list[dict]
    events: list[dict]
    checkpoints: list[Checkpoint]
    results: dict | None
    held: bool
    written: float
    unreadable: list[str]

    @cached_property
    def done(self) -> int:
        """Steps the run has done, as far as anything on disk says."""
        metrics = self.metrics[-1]["step"] if self.metrics else 0
        return max(metrics, self.checkpoints[-1].step if self.checkpoints else 0)

    @cached_property
    def planned(self) -> int | None:
        """Steps the run trains for: by its last `started` event, else by its config."""
        if steps := self.started.get("num_steps"):
            return steps
        # fine-tuned copies of networks are trained by the section `exposure`
        exposed = self.workdir.name.endswith("_exposed")
        c = self.config.get("exposure" if exposed else "train", {})
        shape, batch = self.data.get("shape"), c.get("batch_size")
        if c.get("num_steps") or not (shape and batch and c.get("num_epochs")):
            return c.get("num_steps") or None
        return math.ceil(c["num_epochs"] * shape[0] / batch)

    @cached_property
    def session(self) -> list[dict]:
        """The events since the last session began; none where no event says so."""
        kinds = [event["event"] for event in self.events]
        if "started" not in kinds:
            return []
        return self.events[-1 - kinds[::-1].index("started") :]

    @cached_property
    def started(self) -> dict:
        """The `started` event of the last session; empty without one."""
        return self.session[0] if self.session else {}

    @cached_property
    def marker(self) -> dict:
        """The last event that begins or ends a session."""
        kinds = (*event_log.ENDINGS, "started")
        return next((e for e in reversed(self.events) if e["event"] in kinds), {})

    @cached_property
    def session_metrics(self) -> list[dict]:
        """Metrics of the last session; all of them where no event says its start."""
        start = self.started.get("step", 0) if self.session else -1
        return [m for m in self.metrics if m["step"] > start]

    @cached_property
    def saves(self) -> list[dict]:
        """Checkpoints of the last session, as events."""
        return [e for e in self.session if e["event"] == "checkpoint"]

    @cached_property
    def silence(self) -> float:
        """Seconds without a sign of life after which a run counts as silent."""
        recent = self.session_metrics[-6:]
        logged = [m["seconds"] for m in recent if "seconds" in m]
        gaps = [b - a for a, b in pairwise(logged)]
        usual = 10 * max(gaps, default=0.0)
        usual += 5 * max((e.get("seconds", 0.0) for e in self.saves), default=0.0)
        # programs are compiled for the first checkpoint, too; and validation is not
        # timed
        validated = any("validation" in m for m in recent)
        known = bool(gaps and self.saves) and not validated
        return usual + (PATIENCE if known else COMPILING)


def seconds_of(event: dict) -> float:
    """An event's time, in seconds since 1970; 0 where it is unreadable."""
    try:
        return datetime.fromisoformat(event["time"]).timestamp()
    except (TypeError, ValueError):
        return 0.0


def find_runs(directory: Path) -> list[Path]:
    """The workdirs of runs at `directory` or below, in the order of their names.

    Raises UserError where there is none.
    """
    if not directory.is_dir():
        raise UserError(f"no directory {directory}; give the --workdir of a run")
    runs = _below(directory, DEPTH)
    if not runs:
        raise UserError(
            f"{directory} holds no run, nor do the directories below it (no "
            "config.json); train one first"
        )
    return runs


def read_run(workdir: Path, check: bool = False) -> RunFiles:
    """Read the files of a run; `check` compares the newest checkpoint's checksums.

    Files that are missing are empty here; those that cannot be read are named.
    """
    unreadable: list[str] = []

    def read(name, reader, otherwise):
        try:
            return reader(workdir / name)
        except FileNotFoundError:
            return otherwise
        except (OSError, ValueError) as error:
            unreadable.append(f"{name}: {error}")
            return otherwise

    return RunFiles(
        workdir,
        config=read("config.json", _object, {}),
        metrics=read("metrics.jsonl", metric_log.read, []),
        events=read(event_log.NAME, event_log.read, []),
        checkpoints=read("checkpoints", lambda d: _checkpoints(d, check), []),
        results=read("results.json", _object, None),
        held=read(".lock", _held, False),
        written=max(map(_written, workdir.iterdir()), default=0.0),
        data=read("data.json", _object, {}),
        unreadable=unreadable,
    )


def _below(directory: Path, depth: int) -> list[Path]:
    if (directory / "config.json").is_file():
        return [directory]
    if not depth:
        return []
    try:
        entries = sorted(p for p in directory.iterdir() if p.is_dir())
    except PermissionError:
        return []
    inner = [p for p in entries if p.name not in INSIDE and p.name[0] != "."]
    return [run for entry in inner for run in _below(entry, depth - 1)]


def _object(path: Path) -> dict:
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content


def _held(path: Path) -> bool:
    """Whether a process holds the lock that `workdir.locked` takes.

    A shared lock, for an instant: it disturbs neither who holds it nor others who look.
    A run that starts within that instant would take the workdir for one in use.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # gone since: a temporary file


def _checkpoints(directory: Path, check: bool) -> list[Checkpoint]:
    """Complete checkpoints, oldest first; only the newest is read."""
    # one that is being written has a longer name
    steps = sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())
    checkpoints = []
    for step in steps:
        path = directory / str(step)
        try:
            written, described = path.stat().st_mtime, ()
            if step == steps[-1]:
                size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
                sealed = (path / manifest.NAME).is_file()
                described = size, manifest.damage(path, checksums=check), sealed
            checkpoints.append(Checkpoint(step, written, *described))
        except FileNotFoundError:
            continue  # removed while we look: a newer one is there by now
    return checkpoints

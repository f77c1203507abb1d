"""What the files of runs say, for `status`: read, and left as they are.

Light: neither JAX nor NumPy is imported.
"""

import fcntl
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from experiments.core.errors import UserError
from flowjax_ood.training.checkpoints import manifest
from flowjax_ood.training.logs import events as event_log
from flowjax_ood.training.logs import metrics as metric_log

# folders of a run that hold no runs
INSIDE = {"checkpoints", "damaged_checkpoints", "best", "profile", "tensorboard"}
DEPTH = 4


@dataclass(frozen=True)
class Checkpoint:
    """One on disk: when it was written (seconds since 1970), bytes of all files, and
    what is wrong with it; `sealed` is False where no manifest says what belongs to it.
    """

    step: int
    written: float
    size: int
    damage: str = ""
    sealed: bool = True


@dataclass(frozen=True)
class Files:
    """What was found in the workdir of a run; times are seconds since 1970."""

    workdir: Path
    config: dict
    metrics: list[dict]
    events: list[dict]
    checkpoints: list[Checkpoint]
    results: dict | None
    held: bool
    written: float
    data: dict = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


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


def read_run(workdir: Path, check: bool = False) -> Files:
    """All that is read of one run; `check` compares the newest checkpoint's checksums.

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

    return Files(
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


def planned_steps(files: Files) -> int | None:
    """Steps the run trains for: by its last `started` event, else by its config."""
    for event in reversed(files.events):
        if event["event"] == "started" and event.get("num_steps"):
            return event["num_steps"]
    # networks told of outliers are trained by the room `exposure`
    exposed = files.workdir.name.endswith("_exposed")
    c = files.config.get("exposure" if exposed else "train", {})
    if c.get("num_steps"):
        return c["num_steps"]
    shape, batch = files.data.get("shape"), c.get("batch_size")
    if shape and batch and c.get("num_epochs"):
        return math.ceil(c["num_epochs"] * shape[0] / batch)
    return None


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
    """Those of complete saves, oldest first; the newest alone is looked into."""
    # one that is being written has a longer name
    steps = sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())
    found = []
    for step in steps:
        path = directory / str(step)
        newest = step == steps[-1]
        try:
            found.append(_checkpoint(path, step, newest, check))
        except FileNotFoundError:
            continue  # removed while we look: a newer one is there by now
    return found


def _checkpoint(path: Path, step: int, look: bool, check: bool) -> Checkpoint:
    written = path.stat().st_mtime
    if not look:
        return Checkpoint(step, written, 0)
    size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    sealed = (path / manifest.NAME).is_file()
    damage = manifest.damage(path, checksums=check)
    return Checkpoint(step, written, size, damage, sealed)

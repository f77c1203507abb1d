"""Workdirs as runs leave them in every state, without any training."""

import fcntl
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from experiments.status.files import RunFiles
from experiments.status.record import record
from flowjax_ood.training.checkpoints import manifest
from flowjax_ood.training.logs import events as event_log

# the moment a run began, in seconds since 1970
BEGAN = 1_740_820_000.0
HOST = {"processes": 2, "devices": 8, "device": "TPU v5e", "platform": "tpu"}


def at(seconds: float) -> str:
    """The time so long after the run began, as events have it."""
    return event_log.timestamp(datetime.fromtimestamp(BEGAN + seconds, UTC))


def event(after: float, name: str, /, **facts) -> dict:
    return {"time": at(after), "event": name, **facts}


def started(after=0.0, step=0, num_steps=1000, host="elsewhere", **facts) -> dict:
    facts = {"num_steps": num_steps, "host": host, "pid": 7} | HOST | facts
    return event(after, "started", step=step, **facts)


def records(last: int, every=50, seconds_per_step=0.1, metric="bits_per_dim"):
    """Metrics of a loss that falls, up to step `last`."""
    return [
        {
            "step": step,
            metric: 3 + 500 / step,
            "images_per_second": 640.0,
            "input_wait": 0.003,
            "seconds": step * seconds_per_step,
        }
        for step in range(every, last + 1, every)
    ]


def write_run(
    workdir: Path,
    *,
    metrics=(),
    events=(),
    checkpoints=(),
    config=None,
    results=None,
    quiet=0.0,
    now=BEGAN + 200.0,
) -> Path:
    """Write a workdir whose files are all `quiet` seconds old at `now`."""
    workdir.mkdir(parents=True)
    config = {"train": {"num_steps": 1000}} if config is None else config
    files = {"config.json": config, ".lock": 7, "results.json": results}
    for name, content in files.items():
        if content is not None:
            (workdir / name).write_text(json.dumps(content))
    for name, lines in (("metrics.jsonl", metrics), ("events.jsonl", events)):
        if lines:
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            (workdir / name).write_text(text)
    for step in checkpoints:
        write_checkpoint(workdir / "checkpoints" / f"{step}")
    set_times(workdir, now - quiet)
    return workdir


def write_checkpoint(path: Path) -> None:
    (path / "state").mkdir(parents=True)
    (path / "state" / "arrays").write_bytes(bytes(range(256)) * 4)
    (path / "facts").write_text("{}")
    manifest.write(path)


def set_times(workdir: Path, moment: float) -> None:
    for path in (*workdir.rglob("*"), workdir):
        os.utime(path, (moment, moment))


@contextmanager
def holding(workdir: Path):
    """As `experiments.core.workdir.locked` holds it, times unchanged."""
    with (workdir / ".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


NOW = BEGAN + 200.0
SAVES = [event(50.0 * k, "checkpoint", step=200 * k, seconds=1.0) for k in (1, 2)]
DONE = [started(), *SAVES, event(190, "finished", step=1000)]


def seen(workdir, now=NOW, **options) -> dict:
    return record(RunFiles(workdir, **options), now)


def printed(renderable, width=80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()

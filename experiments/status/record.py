"""One run as `status --json` prints it: numbers, from what its files say.

Times are UTC in ISO 8601, durations in seconds, sizes in bytes; unknown values are
null. `{"time", "attention": number of runs that need it, "runs": [...]}`, each run:

- `workdir`, `name` (its path below the directory that all runs share)
- `state`, `why`: as `status --help` explains, and the reason in words
- `attention`: messages that somebody has to act on; `notes`: other messages
- `step`, `num_steps`, `fraction`: steps done, planned, and their ratio
- `steps_per_second`, `images_per_second`, `input_wait` (fraction of the time spent
  waiting for input), `eta_seconds`: until training ends, or would end if a stopped
  run were resumed
- `metric`: `name` ("bits_per_dim" or "loss"), `value` (mean of the last records),
  `change` over the last `over_steps` steps, `clear` (more than its noise, and than
  1e-4 of the value), `history` (at most 60 values, evenly spread over the run)
- `validation`: `best`, `step` of it, `last`
- `checkpoint`: `step`, `time`, `age_seconds`, `bytes`, `intact` (null: no manifest),
  `damage` (in words) of the newest; `checkpoints`: steps of all
- `sessions` (one more than restarts), `started` (the last), `processes`, `devices`,
  `device`, `host`, `pid`
- `last_sign_seconds`: since anything was written
- `warnings`: `[{"time", "message"}]`, since the run began
- `disk_free_bytes`: where the workdir is
- `results`: of an evaluated run, `in_distribution`, `bits_per_dim`, `auroc`
"""

import platform
import shutil
import statistics
from datetime import UTC, datetime

from experiments.core.text import duration
from experiments.status.files import COMPILING, RunFiles, seconds_of
from flowjax_ood.training.logs.events import timestamp

NEEDS_ATTENTION = ("crashed", "diverged", "silent")
ALIVE = ("starting", "running", "silent")
# records of metrics that are taken together, and points of a history
RECENT, POINTS = 10, 60
# the relative change that is worth showing
LEAST = 1e-4
# a disk with space for fewer checkpoints than this is worth a note
SPACE = 3


def record(files: RunFiles, now: float, name: str = "") -> dict:
    """The record of one run at `now`, in seconds since 1970."""
    state, why = state_of(files, now)
    rate, left = _steps_per_second(files), None
    if files.planned and state not in ("finished", "evaluated", "diverged"):
        left = max(files.planned - files.done, 0)
    last = files.metrics[-1] if files.metrics else {}
    saved, free = _checkpoint(files, now), shutil.disk_usage(files.workdir).free
    last_sign = max(now - files.written, 0.0)
    attention = [why] if state in NEEDS_ATTENTION else []
    notes = list(files.unreadable)
    if saved and saved["damage"]:
        back = "there is no other one"
        if len(files.checkpoints) > 1:
            back = f"`train` would go back to step {files.checkpoints[-2].step}"
        attention.append(
            f"the checkpoint of step {saved['step']} is damaged ({saved['damage']}); "
            f"{back}"
        )
    if saved and state in ALIVE and free < SPACE * saved["bytes"]:
        notes.append("the disk has no space for many more checkpoints")
    if state == "running" and last_sign > files.silence / 2:
        notes.append("quieter than usual")
    keys = ("processes", "devices", "device", "host", "pid")
    return {
        "workdir": str(files.workdir),
        "name": name or files.workdir.name,
        "state": state,
        "why": why,
        "attention": attention,
        "notes": notes,
        "step": files.done,
        "num_steps": files.planned,
        "fraction": min(files.done / files.planned, 1.0) if files.planned else None,
        "steps_per_second": rate,
        "images_per_second": last.get("images_per_second"),
        "input_wait": last.get("input_wait"),
        "eta_seconds": left / rate if rate and left is not None else None,
        "metric": _metric(files.metrics),
        "validation": _validation(files.metrics),
        "checkpoint": saved,
        "checkpoints": [c.step for c in files.checkpoints],
        "sessions": sum(e["event"] == "started" for e in files.events) or None,
        "started": files.started.get("time"),
        **{key: files.started.get(key) for key in keys},
        "last_sign_seconds": last_sign,
        "warnings": _warnings(files.events),
        "disk_free_bytes": free,
        "results": _results(files) if state == "evaluated" else None,
    }


def state_of(files: RunFiles, now: float) -> tuple[str, str]:
    """`(state, why)` of a run at `now`, in seconds since 1970.

    `why` is empty where the state says it all.
    """
    marker, quiet = files.marker, now - files.written
    event = marker.get("event")
    # the lock of a run on another machine may not be seen here
    elsewhere = marker.get("host") not in (None, platform.node())
    if files.held or (event == "started" and elsewhere and quiet <= files.silence):
        # with a lock, but its last session has ended: the next one is on its way
        logged = bool(files.session_metrics) and event in (None, "started")
        if quiet > (files.silence if logged else COMPILING):
            return "silent", f"in use, but nothing was written for {duration(quiet)}"
        if not logged:
            return "starting", "no metrics yet: reading, restoring or compiling"
        return "running", ""
    if event == "diverged":
        what = marker.get("what", "not finite")
        return "diverged", f"at step {marker.get('step', '?')}: {what}"
    if event == "failed":
        return "crashed", str(marker.get("error", "by an error"))
    if event == "interrupted":
        by = marker.get("signal", "a signal")
        return "stopped", f"by {by}; run the same command again to go on"
    if event == "started":
        return "crashed", "it ended without a word: killed, or the machine went away"
    if _evaluated(files):
        return "evaluated", ""
    if event == "finished":
        return "finished", ""
    if files.done:
        return "stopped", "no event says how; run the same command again to go on"
    return "new", "nothing trained yet"


def _evaluated(files: RunFiles) -> bool:
    """Whether there are results, of all that was trained."""
    if files.results is None:
        return False
    # a workdir that was copied has new times; one stopped early has fewer steps
    if files.results.get("steps", -1) >= files.done or not files.checkpoints:
        return True
    try:
        written = (files.workdir / "results.json").stat().st_mtime
    except OSError:
        return False
    return written >= files.checkpoints[-1].written


def _steps_per_second(files: RunFiles) -> float | None:
    """The recent rate: by the clock between checkpoints, with all that comes between
    steps, or else by the timed steps alone.
    """
    saves = [(e["step"], seconds_of(e)) for e in files.saves if "step" in e]

    def timed(metrics):
        return [(m["step"], m["seconds"]) for m in metrics if "seconds" in m]

    steps = timed(files.session_metrics) or timed(files.metrics)
    for points in (saves[-5:], steps[-RECENT:]):
        if len(points) > 1:
            (a, begun), (b, ended) = points[0], points[-1]
            if b > a and ended > begun:
                return (b - a) / (ended - begun)
    return None


def _metric(metrics: list[dict]) -> dict | None:
    name = next(
        (k for k in ("bits_per_dim", "loss") if metrics and k in metrics[-1]), None
    )
    if name is None:
        return None
    points = [(m["step"], m[name]) for m in metrics if name in m]
    count = max(1, min(RECENT, len(points) // 2))
    late, early = points[-count:], points[-2 * count : -count]
    value = statistics.fmean(v for _, v in late)
    found = {"name": name, "value": value, "change": None, "over_steps": None}
    found["clear"] = False
    if early:
        change = value - statistics.fmean(v for _, v in early)
        # of the mean of each half, were the records independent
        noise = sum(_variance(part) / count for part in (late, early)) ** 0.5
        found |= {
            "change": change,
            "over_steps": late[-1][0] - early[-1][0],
            "clear": count > 1 and abs(change) > max(2 * noise, LEAST * abs(value)),
        }
    stride = -(-len(points) // POINTS)
    return found | {"history": [v for _, v in points][::-stride][::-1]}


def _variance(points: list[tuple[int, float]]) -> float:
    return statistics.variance(v for _, v in points) if len(points) > 1 else 0.0


def _validation(metrics: list[dict]) -> dict | None:
    scores = [(m["validation"], m["step"]) for m in metrics if "validation" in m]
    if not scores:
        return None
    best, step = max(scores, key=lambda score: score[0])
    return {"best": best, "step": step, "last": scores[-1][0]}


def _checkpoint(files: RunFiles, now: float) -> dict | None:
    if not files.checkpoints:
        return None
    newest = files.checkpoints[-1]
    return {
        "step": newest.step,
        "time": timestamp(datetime.fromtimestamp(newest.written, UTC)),
        "age_seconds": max(now - newest.written, 0.0),
        "bytes": newest.size,
        "intact": not newest.damage if newest.sealed else None,
        "damage": newest.damage,
    }


def _warnings(events: list[dict]) -> list[dict]:
    found = []
    for event in events:
        if event["event"] == "warning":
            message = str(event.get("message", ""))
        elif event["event"] == "fallback":
            message = (
                f"the checkpoint of step {event.get('step')} was damaged "
                f"({event.get('reason')}), that of step {event.get('to')} restored"
            )
        else:
            continue
        found.append({"time": event["time"], "message": message})
    return found


def _results(files: RunFiles) -> dict:
    keys = ("in_distribution", "bits_per_dim", "auroc")
    return {k: files.results[k] for k in keys if k in files.results}

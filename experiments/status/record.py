"""One run as `status --json` prints it: numbers, from what its files say.

Times are UTC in ISO 8601, durations in seconds, sizes in bytes; unknown values are
null. `{"time", "attention": number of runs that need it, "runs": [...]}`, each run:

- `workdir`, `name` (its path below the directory that all runs share)
- `state`, `why`: as `status --help` explains, and the reason in words
- `attention`: messages that somebody has to act on; `notes`: other messages
- `step`, `num_steps`, `fraction`: steps done, planned, and their ratio
- `stages` that have ended, of a command that trains a system in stages
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
- `disk_free_bytes`: where the workdir is; null in a bucket
- `results`: of an evaluated run, `in_distribution`, `bits_per_dim`, `auroc`
"""

import platform
import statistics
from datetime import UTC, datetime

from experiments.status.files import COMPILING, RunFiles, seconds_of
from flowjax_ood.interface.text import duration
from flowjax_ood.runtime.files import free_bytes
from flowjax_ood.training.logs.events import timestamp

NEEDS_ATTENTION = ("crashed", "diverged", "silent")
ALIVE = ("starting", "running", "silent")
# records of metrics that are taken together, and points of a history
RECENT, POINTS = 10, 60
# the relative change that is worth showing
LEAST_CHANGE = 1e-4
# a disk with space for fewer checkpoints than this is worth a note
SPACE = 3


def record(files: RunFiles, now: float, name: str = "") -> dict:
    """The record of a run at `now`, in seconds since 1970."""
    state, why = state_of(files, now)
    rate, left = _steps_per_second(files), None
    if files.planned and state not in ("finished", "evaluated", "diverged"):
        left = max(files.planned - files.done, 0)
    last = files.metrics[-1] if files.metrics else {}
    free, quiet = free_bytes(files.workdir), max(now - files.written, 0.0)
    attention = [why] if state in NEEDS_ATTENTION else []
    attention += [f"unreadable: {what}" for what in files.unreadable]
    notes, saved = [], None
    if newest := files.newest:
        damage, step = newest["damage"], files.saved[-1]
        saved = {
            "step": step,
            "time": timestamp(datetime.fromtimestamp(newest["written"], UTC)),
            "age_seconds": max(now - newest["written"], 0.0),
            "bytes": newest["bytes"],
            "intact": not damage if newest["sealed"] else None,
            "damage": damage,
        }
        if damage:
            back = "there is no other one"
            if files.saved[:-1]:
                back = f"`train` would go back to step {files.saved[-2]}"
            attention.append(
                f"the checkpoint of step {step} is damaged ({damage}); {back}"
            )
        if state in ALIVE and free is not None and free < SPACE * newest["bytes"]:
            notes.append("the disk has no space for many more checkpoints")
    if state == "running" and quiet > files.silence() / 2:
        notes.append("quieter than usual")
    keys = ("processes", "devices", "device", "host", "pid")
    results = files.results if state == "evaluated" else None
    shown = ("in_distribution", "bits_per_dim", "auroc")
    return {
        "workdir": str(files.workdir),
        "name": name or files.workdir.name,
        "state": state,
        "why": why,
        "attention": attention,
        "notes": notes,
        "step": files.done,
        "num_steps": files.planned,
        "stages": files.stages or None,
        "fraction": min(files.done / files.planned, 1.0) if files.planned else None,
        "steps_per_second": rate,
        "images_per_second": last.get("images_per_second"),
        "input_wait": last.get("input_wait"),
        "eta_seconds": left / rate if rate and left is not None else None,
        "metric": _metric(files.metrics),
        "validation": _validation(files.metrics),
        "checkpoint": saved,
        "checkpoints": files.saved,
        "sessions": files.sessions or None,
        "started": files.started.get("time"),
        **{key: files.started.get(key) for key in keys},
        "last_sign_seconds": quiet,
        "warnings": _warnings(files.events),
        "disk_free_bytes": free,
        "results": results and {k: results[k] for k in shown if k in results},
    }


def state_of(files: RunFiles, now: float) -> tuple[str, str]:
    """`(state, why)` of a run at `now`, in seconds since 1970.

    `why` is empty where the state says it all.
    """
    marker, quiet = files.marker, now - files.written
    event = marker.get("event")
    # the lock of a run on another machine may not be seen here
    elsewhere = marker.get("host") not in (None, platform.node())
    if files.held or (event == "started" and elsewhere and quiet <= files.silence()):
        # with a lock, but its last session has ended: the next one is on its way
        logged = bool(files.session_metrics) and event in (None, "started")
        if quiet > (files.silence() if logged else COMPILING):
            return "silent", f"in use, but nothing was written for {duration(quiet)}"
        if not logged and files.stages:
            return "running", ""
        if not logged:
            return "starting", "no metrics yet: reading, restoring or compiling"
        return "running", ""
    again = "run the same command again to go on"
    if event == "diverged":
        what = marker.get("what", "not finite")
        return "diverged", f"at step {marker.get('step', '?')}: {what}"
    if event == "failed":
        return "crashed", str(marker.get("error", "by an error"))
    if event == "interrupted":
        return "stopped", f"by {marker.get('signal', 'a signal')}; {again}"
    if event == "out_of_time":
        return "stopped", f"train.max_seconds were over; {again}"
    if event == "started":
        return "crashed", "it ended without a word: killed, or the machine went away"
    if _evaluated(files):
        return "evaluated", ""
    if event == "finished":
        return "finished", ""
    if files.done or files.stages:
        return "stopped", f"no event says how; {again}"
    return "new", "nothing trained yet"


def _evaluated(files: RunFiles) -> bool:
    """Whether there are results, of all that was trained."""
    if files.results is None:
        return False
    # a workdir that was copied has new times; a run stopped early has fewer steps
    if files.results.get("steps", -1) >= files.done or not files.newest:
        return True
    written = (files.workdir / "results.json").stat().st_mtime
    return written >= files.newest["written"]


def _steps_per_second(files: RunFiles) -> float | None:
    """The recent rate, by the clock between checkpoints, or else by timed steps."""
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
    """The loss of training: its recent value, and whether that has changed."""
    last = metrics[-1] if metrics else {}
    name = next((key for key in ("bits_per_dim", "loss") if key in last), None)
    if name is None:
        return None
    steps, values = zip(
        *((m["step"], m[name]) for m in metrics if name in m), strict=True
    )
    count = max(1, min(RECENT, len(values) // 2))
    late, early = values[-count:], values[-2 * count : -count]
    value, change, over, clear = statistics.fmean(late), None, None, False
    if early:
        change, over = value - statistics.fmean(early), steps[-1] - steps[-1 - count]
        if count > 1:
            # of the mean of each half, were the records independent
            noise = sum(statistics.variance(half) / count for half in (late, early))
            clear = abs(change) > max(2 * noise**0.5, LEAST_CHANGE * abs(value))
    stride = -(-len(values) // POINTS)
    return {
        "name": name,
        "value": value,
        "change": change,
        "over_steps": over,
        "clear": clear,
        "history": values[::-stride][::-1],
    }


def _validation(metrics: list[dict]) -> dict | None:
    scores = [(m["validation"], m["step"]) for m in metrics if "validation" in m]
    if not scores:
        return None
    best, step = max(scores, key=lambda score: score[0])
    return {"best": best, "step": step, "last": scores[-1][0]}


def _warnings(events: list[dict]) -> list[dict]:
    """Warnings, and checkpoints that were damaged when a session began."""
    messages = {
        "warning": lambda e: str(e.get("message", "")),
        "fallback": lambda e: (
            f"the checkpoint of step {e.get('step')} was damaged ({e.get('reason')}), "
            f"that of step {e.get('to')} restored"
        ),
    }
    return [
        {"time": event["time"], "message": messages[event["event"]](event)}
        for event in events
        if event["event"] in messages
    ]

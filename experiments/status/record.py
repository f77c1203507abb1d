"""One run as `status --json` prints it: numbers, from what its files say.

Times are UTC in ISO 8601, durations in seconds, sizes in bytes; what is not known is
null. `{"time", "attention": number of runs that need it, "runs": [...]}`, each run:

- `workdir`, `name` (the last parts of it that tell it from the others)
- `state`, `why`: as `status --help` explains, and the reason in words
- `attention`: a list of what somebody has to look at; `notes`: what is good to know
- `step`, `num_steps`, `fraction`: steps done, planned, and their ratio
- `steps_per_second`, `images_per_second`, `input_wait` (fraction of the time spent
  waiting for input), `eta_seconds`: of training; the last also of one that stopped,
  were it to go on
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

import shutil
import statistics
from datetime import UTC, datetime

from experiments.status.files import Files, planned_steps
from experiments.status.state import (
    ALIVE,
    BAD,
    done_steps,
    seconds_of,
    session,
    session_events,
    session_metrics,
    silence,
    state_of,
)
from flowjax_ood.training.logs.events import timestamp

# records of metrics that are taken together, and points of a history
RECENT, POINTS = 10, 60
# of a value, the change that is worth a word
LEAST = 1e-4
# a disk with room for fewer checkpoints than this is worth a word
ROOM = 3


def record(files: Files, now: float, name: str = "") -> dict:
    """The record of one run at `now`, in seconds since 1970."""
    state, why = state_of(files, now)
    started = session(files) or {}
    done, planned = done_steps(files), planned_steps(files)
    rate = _steps_per_second(files)
    left = max(planned - done, 0) if planned else None
    going = state not in ("finished", "evaluated", "diverged")
    last = files.metrics[-1] if files.metrics else {}
    saved = _checkpoint(files, now)
    free = shutil.disk_usage(files.workdir).free
    found = {
        "workdir": str(files.workdir),
        "name": name or files.workdir.name,
        "state": state,
        "why": why,
        "attention": [why] if state in BAD else [],
        "notes": list(files.unreadable),
        "step": done,
        "num_steps": planned,
        "fraction": min(done / planned, 1.0) if planned else None,
        "steps_per_second": rate,
        "images_per_second": last.get("images_per_second"),
        "input_wait": last.get("input_wait"),
        "eta_seconds": left / rate if going and rate and left is not None else None,
        "metric": _metric(files.metrics),
        "validation": _validation(files.metrics),
        "checkpoint": saved,
        "checkpoints": [c.step for c in files.checkpoints],
        "sessions": sum(e["event"] == "started" for e in files.events) or None,
        "started": started.get("time"),
        **{k: started.get(k) for k in ("processes", "devices", "device", "host")},
        "pid": started.get("pid"),
        "last_sign_seconds": max(now - files.written, 0.0),
        "warnings": _warnings(files),
        "disk_free_bytes": free,
        "results": _results(files) if state == "evaluated" else None,
    }
    if saved and saved["damage"]:
        others = [c.step for c in files.checkpoints[:-1]]
        back = "there is no other one"
        if others:
            back = f"`train` would go back to step {others[-1]}"
        found["attention"].append(
            f"the checkpoint of step {saved['step']} is damaged ({saved['damage']}); "
            f"{back}"
        )
    if saved and state in ALIVE and free < ROOM * saved["bytes"]:
        found["notes"].append("the disk has no room for many more checkpoints")
    if state == "running" and found["last_sign_seconds"] > silence(files) / 2:
        found["notes"].append("quieter than usual")
    return found


def _steps_per_second(files: Files) -> float | None:
    """Of late: by the clock between checkpoints, with all that comes between steps, or
    else by the timed steps alone.
    """
    saves = [
        (e["step"], seconds_of(e))
        for e in session_events(files)
        if e["event"] == "checkpoint" and "step" in e
    ]
    timed = [
        (m["step"], m["seconds"]) for m in session_metrics(files) if "seconds" in m
    ]
    timed = timed or [
        (m["step"], m["seconds"]) for m in files.metrics if "seconds" in m
    ]
    for points in (saves[-5:], timed[-RECENT:]):
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
    return (
        {"clear": False} | found | {"history": [v for _, v in points][::-stride][::-1]}
    )


def _variance(points: list[tuple[int, float]]) -> float:
    return statistics.variance(v for _, v in points) if len(points) > 1 else 0.0


def _validation(metrics: list[dict]) -> dict | None:
    scores = [(m["validation"], m["step"]) for m in metrics if "validation" in m]
    if not scores:
        return None
    best, step = max(scores, key=lambda score: score[0])
    return {"best": best, "step": step, "last": scores[-1][0]}


def _checkpoint(files: Files, now: float) -> dict | None:
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


def _warnings(files: Files) -> list[dict]:
    found = []
    for event in files.events:
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


def _results(files: Files) -> dict:
    keys = ("in_distribution", "bits_per_dim", "auroc")
    return {k: files.results[k] for k in keys if k in files.results}

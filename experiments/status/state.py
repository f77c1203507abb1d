"""How a run is: running, stopped, crashed, ...; what its files say, weighed."""

import platform
from datetime import datetime
from itertools import pairwise

from experiments.core.text import duration
from experiments.status.files import Files, planned_steps
from flowjax_ood.training.logs.events import ENDINGS

# what somebody has to look at
BAD = ("crashed", "diverged", "silent")
ALIVE = ("starting", "running", "silent")
# seconds: the least, and what XLA, or something else that is not timed, may take
PATIENCE, COMPILING = 120.0, 1800.0


def state_of(files: Files, now: float) -> tuple[str, str]:
    """`(state, why)` of a run at `now`, in seconds since 1970.

    `why` is empty where the state says it all.
    """
    marker = last_marker(files)
    event = marker["event"] if marker else ""
    quiet = now - files.written
    if files.held or (event == "started" and _elsewhere(marker, quiet, files)):
        return _alive(files, marker, quiet)
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
    # finished, or of a time before there were events
    if _evaluated(files):
        return "evaluated", ""
    if event == "finished":
        return "finished", ""
    return _of_old(files)


def last_marker(files: Files) -> dict | None:
    """The last event that begins or ends a session."""
    kinds = (*ENDINGS, "started")
    return next((e for e in reversed(files.events) if e["event"] in kinds), None)


def session(files: Files) -> dict | None:
    """The `started` event of the last session."""
    return next(iter(session_events(files)), None)


def session_events(files: Files) -> list[dict]:
    """The events since the last session began; none where no event tells."""
    for number in range(len(files.events) - 1, -1, -1):
        if files.events[number]["event"] == "started":
            return files.events[number:]
    return []


def seconds_of(event: dict) -> float:
    """An event's time, in seconds since 1970; 0 where it is unreadable."""
    try:
        return datetime.fromisoformat(event["time"]).timestamp()
    except (TypeError, ValueError):
        return 0.0


def session_metrics(files: Files) -> list[dict]:
    """Metrics of the last session; all of them where no event tells."""
    started = session(files)
    start = started.get("step", 0) if started else -1
    return [m for m in files.metrics if m["step"] > start]


def silence(files: Files) -> float:
    """Seconds without a sign of life from which on a run counts as silent."""
    recent = session_metrics(files)[-6:]
    logged = [m["seconds"] for m in recent if "seconds" in m]
    saves = [e for e in session_events(files) if e["event"] == "checkpoint"]
    gaps = [b - a for a, b in pairwise(logged)]
    usual = 10 * max(gaps, default=0.0)
    usual += 5 * max((e.get("seconds", 0.0) for e in saves), default=0.0)
    # programs are compiled for the first checkpoint, too; and no clock tells how long
    # a validation takes
    validated = any("validation" in m for m in recent)
    known = bool(gaps and saves) and not validated
    return usual + (PATIENCE if known else COMPILING)


def _alive(files: Files, marker: dict | None, quiet: float) -> tuple[str, str]:
    # with a lock, but its last session has ended: the next one is on its way
    begun = marker is None or marker["event"] == "started"
    logged = bool(session_metrics(files)) and begun
    if quiet > (silence(files) if logged else COMPILING):
        return "silent", f"in use, but nothing was written for {duration(quiet)}"
    if not logged:
        return "starting", "no metrics yet: reading, restoring or compiling"
    return "running", ""


def _elsewhere(started: dict, quiet: float, files: Files) -> bool:
    """Whether a run of another machine, whose lock may not be seen here, writes."""
    host = started.get("host")
    return host not in (None, platform.node()) and quiet <= silence(files)


def _evaluated(files: Files) -> bool:
    """Whether there are results, of all that was trained."""
    if files.results is None:
        return False
    last = files.checkpoints[-1] if files.checkpoints else None
    try:
        written = (files.workdir / "results.json").stat().st_mtime
    except OSError:
        return False
    # a workdir that was copied has new times; one stopped early has fewer steps
    whole = files.results.get("steps", -1) >= done_steps(files)
    return whole or last is None or written >= last.written


def done_steps(files: Files) -> int:
    """Steps the run has done, as far as anything on disk tells."""
    metrics = files.metrics[-1]["step"] if files.metrics else 0
    saved = files.checkpoints[-1].step if files.checkpoints else 0
    return max(metrics, saved)


def _of_old(files: Files) -> tuple[str, str]:
    """The state of a run that left no events."""
    done, planned = done_steps(files), planned_steps(files)
    if not done:
        return "new", "nothing trained yet"
    saved = files.checkpoints[-1].step if files.checkpoints else 0
    if planned and saved >= planned:
        return "finished", ""
    if saved == done:
        return "stopped", "with all saved; run the same command again to go on"
    return "crashed", f"it ended {done - saved} steps after its last checkpoint"

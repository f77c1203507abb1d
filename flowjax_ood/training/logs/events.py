"""events.jsonl: the history of a run, a JSON object a line.

Every line has `time` (UTC, ISO 8601 with milliseconds: `2025-03-01T09:30:00.125Z`) and
`event`, listed below, with its facts; readers ignore what they do not know.

| event         | when                                  | facts                        |
|---------------|---------------------------------------|------------------------------|
| `started`     | a session begins, new or resumed      | `step`, `num_steps`, and all |
|               |                                       | of `surroundings()`          |
| `resumed`     | it starts from a checkpoint           | `step`                       |
| `checkpoint`  | a checkpoint is on disk               | `step`, `seconds`, `bytes`   |
|               |                                       | where they were counted      |
| `fallback`    | a damaged checkpoint was set aside,   | `step`, `reason`, `to`       |
|               | that of step `to` restored instead    |                              |
| `warning`     | somebody should look                  | `message`                    |
| `interrupted` | stopped by a signal, all saved        | `signal` (its name); `step`, |
|               |                                       | if it had come to one        |
| `diverged`    | loss, gradient or state is not finite | `step`, `what`               |
| `failed`      | it ended by any other error           | `error`; `step` if known     |
| `out_of_time` | stopped in time, all saved            | `step`                       |
| `finished`    | training is done                      | `step`                       |

`step` counts finished steps. A session is `started` and all up to the next `started`,
but for a `fallback`, which comes before it. The last five end it (`ENDINGS`); a session
without an ending was killed, or is still running.

Unlike metrics.jsonl, this file is never trimmed when a run is resumed: it is a history.
"""

import json
import math
import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flowjax_ood.runtime.line_files import line_file
from flowjax_ood.runtime.messages import warn
from flowjax_ood.runtime.paths import AnyPath, as_path
from flowjax_ood.training.logs.metrics import is_number

if TYPE_CHECKING:
    from flowjax_ood.training.checkpoints.checkpoints import Damaged

NAME = "events.jsonl"
# facts that are numbers, of whatever event
NUMBERS = (
    *("step", "num_steps", "to", "seconds", "bytes"),
    *("processes", "devices", "pid"),
)
ENDINGS = ("interrupted", "diverged", "failed", "out_of_time", "finished")


class EventLog:
    """Appends events to the JSON-lines file at `path`; makes its directory if need be.

    Several threads may share it. Of several processes, process 0 writes. Imports what
    needs JAX when it is used: `status` reads events without.
    """

    def __init__(self, path: str | AnyPath):
        from flowjax_ood.runtime.processes import is_lead

        self.path = as_path(path)
        self._lines = line_file(self.path)
        self._lead = is_lead()
        self._lock = threading.Lock()
        self._warned = False

    def write(self, event: str, /, **facts) -> None:
        """Append an event; warn on standard error, once, where the disk refuses.

        A full disk must not stop training: OSError is swallowed. Facts that JSON does
        not know (NaN, paths) are written as text.
        """
        if not self._lead:
            return
        record = {"time": timestamp(), "event": event} | _plain(facts)
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        with self._lock:
            try:
                self._lines.append(line)
            except OSError as error:
                if not self._warned:
                    warn(
                        f"{self.path} cannot be written ({error.strerror or error}); "
                        "training goes on, its events are not recorded"
                    )
                self._warned = True

    def started(self, step: int, num_steps: int) -> None:
        facts = surroundings() if self._lead else {}
        self.write("started", step=step, num_steps=num_steps, **facts)
        if step:
            self.write("resumed", step=step)

    def checkpoint(self, step: int, seconds: float) -> None:
        self.write("checkpoint", step=step, seconds=round(seconds, 3))

    def fallback(self, damaged: "Damaged", to: int) -> None:
        self.write("fallback", step=damaged.step, reason=damaged.reason, to=to)
        if self._lead:
            warn(
                f"the checkpoint of step {damaged.step} is damaged ({damaged.reason}); "
                f"it is kept as {damaged.path}, and training goes on from step {to}"
            )

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Write how a session ends that does not finish."""
        from flowjax_ood.runtime.signals import Interrupted
        from flowjax_ood.runtime.terminations import Terminated
        from flowjax_ood.training.logs.window import NonFiniteLossError

        try:
            yield
        except Interrupted as stop:
            name = signal.Signals(stop.signum).name
            self.write("interrupted", signal=name, step=stop.step)
            raise
        except NonFiniteLossError as error:
            self.write("diverged", step=error.step, what=error.what)
            raise
        except Terminated as stop:
            # before the first step, or after the last
            self.write("interrupted", signal=stop.signum.name)
            raise
        except BaseException as error:
            self.write("failed", error=f"{type(error).__name__}: {error}")
            raise


def read(path: str | AnyPath) -> list[dict]:
    """The events of a file, oldest first; empty where there is none.

    Lines that a crash or a full disk cut short are left out, and so are those whose
    numbers are none.
    """
    try:
        text = line_file(as_path(path)).read().decode(errors="replace")
    except FileNotFoundError:
        return []
    events = []
    for line in text.split("\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        keys = ("time", "event")
        if not isinstance(record, dict) or any(
            type(record.get(k)) is not str for k in keys
        ):
            continue
        if all(is_number(record[k]) for k in NUMBERS if k in record):
            events.append(record)
    return events


def surroundings() -> dict:
    """Describe where a session runs, for its `started` event; starts JAX's devices.

    `processes`, `devices` (of all processes), `device` (their kind), `platform`,
    `host`, `pid` and `versions`. Host and process are those of the caller.
    """
    # status reads this file's events without waiting for JAX
    import jax

    import flowjax_ood

    first = jax.devices()[0]
    return {
        "processes": jax.process_count(),
        "devices": jax.device_count(),
        "device": first.device_kind,
        "platform": first.platform,
        "host": platform.node(),
        "pid": os.getpid(),
        "versions": {"flowjax_ood": flowjax_ood.__version__, "jax": jax.__version__},
    }


def timestamp(when: datetime | None = None) -> str:
    """UTC in ISO 8601 with milliseconds; of now, unless `when` is given."""
    when = (when or datetime.now(UTC)).astimezone(UTC)
    return when.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _plain(value):
    """The value as JSON has it; all else as text."""
    if hasattr(value, "item") and not getattr(value, "shape", ()):
        value = value.item()  # a NumPy scalar
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (int, str)) else str(value)

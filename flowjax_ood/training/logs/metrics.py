"""metrics.jsonl: one JSON object a line, appended as training goes."""

import json
import math
from typing import Any

from flowjax_ood.runtime.line_files import line_file
from flowjax_ood.runtime.paths import AnyPath, as_path


class MetricLog:
    """Appends records to a JSON-lines file.

    `resume_at(step)` drops what a previous, interrupted run wrote beyond the checkpoint
    it is resumed from, so that every step appears once.
    """

    def __init__(self, path: str | AnyPath):
        self.path = as_path(path)
        self._lines = line_file(self.path)

    def create(self) -> None:
        """Make the file and its directory where they are missing.

        Raises OSError where nothing can be written: better now than hours later.
        """
        try:
            self._lines.create()
        except OSError as error:
            message = f"{error.strerror}; choose a working directory that is writable"
            raise OSError(error.errno, message, str(self.path)) from error

    def resume_at(self, step: int) -> None:
        """Drop the records beyond `step`, and a last line cut short by a crash."""
        try:
            records = read(self.path)
        except FileNotFoundError:
            return
        kept = [r for r in records if r["step"] <= step]
        self._lines.replace("".join(json.dumps(r) + "\n" for r in kept).encode())

    def write(self, step: int, **values) -> None:
        """Append a record. Raises ValueError for NaN and infinity: not JSON."""
        line = json.dumps({"step": step, **values}, allow_nan=False, default=float)
        self._lines.append(line.encode() + b"\n")


def read(path: str | AnyPath) -> list[dict]:
    """The records of a metrics file; a last line cut short by a crash is left out.

    Raises ValueError naming the line where any other is not a record.
    """
    # a crash may leave any bytes at the end of a file
    text = line_file(as_path(path)).read().decode(errors="replace")
    lines = text.rstrip("\n").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not (isinstance(record, dict) and type(record.get("step")) is int):
                raise ValueError("no `step` in it that is a whole number")
            for name, value in record.items():
                if not is_number(value):
                    raise ValueError(f"{name} is {value!r}, not a number")
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise ValueError(
                f"{path}:{number} is not a record of metrics ({error}); remove that "
                "line to go on"
            ) from error
        records.append(record)
    return records


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False

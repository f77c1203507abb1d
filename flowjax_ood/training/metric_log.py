"""metrics.jsonl: one JSON object a line, appended as training goes."""

import json
from pathlib import Path


class MetricLog:
    """Appends records to a JSON-lines file.

    `resume_at(step)` drops what a previous, interrupted run wrote beyond the checkpoint
    it is resumed from, so that every step appears once.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def resume_at(self, step: int) -> None:
        if not self.path.exists():
            return
        kept = [r for r in read(self.path) if r["step"] <= step]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(r) + "\n" for r in kept))
        temporary.replace(self.path)

    def write(self, step: int, **values) -> None:
        record = {"step": step} | {k: _plain(v) for k, v in values.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def read(path: str | Path) -> list[dict]:
    """The records of a metrics file; a last line cut short by a crash is left out."""
    lines = Path(path).read_text().splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}:{number}: not a JSON object: {error}") from error
    return records


def _plain(value):
    return value if isinstance(value, (int, str, bool)) else float(value)

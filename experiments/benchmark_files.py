"""What every kind of `benchmark` leaves: its rows as JSON and CSV, and a table."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from experiments.config import UserError
from experiments.results import versions
from flowjax_ood.analysis.atomic import write_bytes


class Files:
    """`NAME.json`, `.csv` and `.md` in `out`, and `more` kinds that others write.

    Those from before are removed: they would not be of these rows. Raises UserError
    where nothing can be written in `out`.
    """

    def __init__(self, out: Path, name: str, more: Sequence[str] = ()):
        self._out, self._name = out, name
        try:
            out.mkdir(parents=True, exist_ok=True)
            for kind in ("json", "csv", "md", *more):
                self.path(kind).unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"cannot write in --out {out}: {error}") from error

    def path(self, kind: str) -> Path:
        return self._out / f"{self._name}.{kind}"

    def write(self, content: dict, table: str) -> None:
        """Each file in one step; `content` is the JSON's, with `rows` for the CSV."""
        content = content | {"versions": versions()}
        lines = io.StringIO()
        writer = csv.DictWriter(lines, content["rows"][0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(content["rows"])
        self._keep("json", json.dumps(content, indent=2, allow_nan=False) + "\n")
        self._keep("csv", lines.getvalue())
        self._keep("md", table)

    def _keep(self, kind: str, text: str) -> None:
        write_bytes(self.path(kind), text.encode())


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Files and tables that every kind of benchmark leaves."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from experiments.benchmark.cases import label, short, varying
from experiments.core import text
from experiments.core.errors import writing
from experiments.core.results import versions
from experiments.core.text import MISSING, decimals, number, number_range
from flowjax_ood.runtime.files import write_bytes

RATE = "images_per_second"
MIB = 2**20
# constant from row to row, so given once, above the table
CONSTANT = ("image_shape", "parameters", "gflop_per_image")

# the header of a column, and its cell of a row
Column = tuple[str, Callable[[dict], str]]


class Report:
    """`NAME.json`, `.csv` and `.md` in `out`, written anew after every measurement.

    Files of an earlier benchmark are removed. `facts` is the part of the JSON that is
    not rows: at least how cases were timed (`seconds`, `repeats`, `interleave`). Raises
    UserError where nothing can be written in `out`.
    """

    name = "benchmark"
    kinds = ("json", "csv", "md")

    def __init__(self, out: Path, facts: dict):
        self.out, self.facts = out, facts
        with writing("--out", out):
            out.mkdir(parents=True, exist_ok=True)
            for kind in self.kinds:
                self.path(kind).unlink(missing_ok=True)

    def rows(self) -> list[dict]:
        """The rows of all cases that were begun."""
        raise NotImplementedError

    def markdown(self, rows: Sequence[dict]) -> str:
        """The table of the rows, with what it needs to be understood."""
        raise NotImplementedError

    def show(self, rows: Sequence[dict]) -> None:
        """Print the table."""
        print(self.markdown(rows), end="")

    def path(self, kind: str) -> Path:
        """The file of a kind."""
        return self.out / f"{self.name}.{kind}"

    def write(self, finished: bool = False) -> list[dict]:
        """Write the rows measured so far, each file in one step; returns the rows."""
        rows = self.rows()
        # where many hosts measure, one writes
        if not rows or jax.process_index():
            return []
        content = {**self.facts, "finished": finished, "rows": rows}
        lines = io.StringIO()
        writer = csv.DictWriter(lines, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        content = json.dumps(
            content | {"versions": versions()}, indent=2, allow_nan=False
        )
        self._keep("json", content + "\n")
        self._keep("csv", lines.getvalue())
        self._keep("md", self.markdown(rows))
        return rows

    def close(self, finished: bool) -> None:
        """Write everything, and print the table."""
        if rows := self.write(finished):
            self.show(rows)
            *kinds, last = (k for k in self.kinds if self.path(k).exists())
            print(f"{self.name}.{', .'.join(kinds)} and .{last} are in {self.out}")

    def timed(self) -> str:
        """How often and how long each case was timed."""
        facts, turns = self.facts, " by turns" if self.facts["interleave"] else ""
        return f"{facts['repeats']} repeats of {facts['seconds']:g} s each{turns}"

    def _keep(self, kind: str, content: str) -> None:
        write_bytes(self.path(kind), content.encode())


def page(
    heading: str,
    columns: Sequence[Column],
    rows: Sequence[dict],
    left: int,
    *notes: str,
) -> str:
    """A Markdown table under a line that says what all rows have in common."""
    table = text.markdown_table(*cells(columns, rows), left)
    return "\n\n".join([f"{heading}:", table, *notes]) + "\n"


def cells(
    columns: Sequence[Column], rows: Sequence[dict]
) -> tuple[list[str], list[list[str]]]:
    """`(header, cells of each row)`."""
    return [name for name, _ in columns], [
        [cell(r) for _, cell in columns] for r in rows
    ]


def settings_columns(names: Sequence[str]) -> list[Column]:
    """A column for each setting."""
    return [(short(name), lambda r, name=name: str(r[name])) for name in names]


# --- models ------------------------------------------------------------------------


def table(rows: Sequence[dict], settings: Sequence[str]) -> tuple[list[str], list]:
    """`(header, cells of each row)` as text; `settings`: the columns of the sweep."""
    columns = settings_columns(_swept(rows, settings))
    if "parameters" in varying(rows):
        columns.append(("parameters", lambda r: f"{r['parameters']:,}"))
    return cells([*columns, *_measurements(rows)], rows)


def heading(rows: Sequence[dict], settings: Sequence[str]) -> str:
    """The settings that all rows have in common, in a line."""
    swept, first = varying(rows), rows[0]
    shown = {c: first[c] for c in (*settings, *CONSTANT) if c not in swept}
    if shown.get("steps_per_call") == 1:
        del shown["steps_per_call"]
    words = {
        "batch_size": lambda v: f"batch {v}",
        "image_shape": lambda v: f"images {v}",
        "parameters": lambda v: f"{v:,} parameters",
        "gflop_per_image": lambda v: f"{number(v)} GFLOP/image",
    }
    plain = ("mode", "precision", "parallel", "stack")
    parts = []
    for column, value in shown.items():
        if column in words:
            parts.append(words[column](value))
        else:
            parts.append(str(value) if column in plain else f"{short(column)} {value}")
    return ", ".join(parts)


def failures(rows: Sequence[dict], settings: Sequence[str]) -> list[str]:
    """A line for every case that failed."""
    swept = _swept(rows, settings)
    return [f"{label(r, swept)}: {r['error']}" for r in rows if r["error"]]


def markdown(rows: Sequence[dict], settings: Sequence[str], notes: str) -> str:
    """The table as Markdown, with constant settings above it, and `notes` below."""
    lines = text.markdown_table(*table(rows, settings), len(_swept(rows, settings)))
    failed = [f"Failed: {f}".replace("|", "\\|") for f in failures(rows, settings)]
    return "\n\n".join([heading(rows, settings) + ":", lines, notes, *failed]) + "\n"


def print_table(rows: Sequence[dict], settings: Sequence[str], notes: str) -> None:
    """The same on the terminal."""
    text.print_table(
        *table(rows, settings),
        title=heading(rows, settings),
        left=len(_swept(rows, settings)),
        # wide enough for every column, wherever it is printed
        width=200,
    )
    for line in [notes, *(f"failed: {f}" for f in failures(rows, settings))]:
        print(line)


def _swept(rows, settings) -> list[str]:
    # a single row says at least what it is of
    return [c for c in varying(rows) if c in settings] or ["mode"]


def _measurements(rows) -> list[Column]:
    """The columns one reads first; the others are in the JSON and the CSV."""

    def ratio_range(row):
        low, high = (decimals(row[f"ratio_{e}"], 2, MISSING) for e in ("min", "max"))
        return MISSING if row["ratio"] is None else f"{low}-{high}"

    def total(row, *names):
        missing = row[names[0]] is None
        return None if missing else sum(row[name] for name in names)

    def tracing(row):
        return decimals(total(row, "trace_seconds", "lower_seconds"), 1, MISSING)

    columns = [
        ("images/s", lambda r: number(r[RATE])),
        ("spread", lambda r: number_range(r[f"{RATE}_min"], r[f"{RATE}_max"])),
        ("ratio", lambda r: decimals(r["ratio"], 2, MISSING)),
        ("spread", ratio_range),
        ("step ms", lambda r: number(r["step_ms_p50"])),
        ("trace s", tracing),
        ("compile s", lambda r: decimals(r["compile_seconds"], 1, MISSING)),
        ("temp MiB", lambda r: number(r["temporary_mib"])),
        ("in+out MiB", lambda r: number(total(r, "argument_mib", "output_mib"))),
    ]
    if any(row["device_peak_mib"] is not None for row in rows):
        columns.append(("peak MiB", lambda r: number(r["device_peak_mib"])))
    return [
        *columns,
        ("GFLOP/s", lambda r: number(r["gflops_per_second"])),
        ("MFU", lambda r: text.share(r["mfu"])),
    ]

"""Files and tables that every kind of benchmark leaves."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.benchmark.cases import label, short, varying
from experiments.core.results import versions
from experiments.core.workdir import check_writable
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import writing
from flowjax_ood.interface.text import MISSING, decimals, number
from flowjax_ood.runtime.files import write_bytes

RATE = "images_per_second"
# constant from row to row, so given once, above the table
CONSTANT = ("image_shape", "parameters", "gflop_per_image")
# how a column that is the same in all rows is said above them; others by name and value
SAID = {
    "batch_size": lambda row: f"batch {row['batch_size']}",
    "image_shape": lambda row: f"images {row['image_shape']}",
    "images": lambda row: f"{row['images']:,} images {row['image_shape']}",
    "parameters": lambda row: f"{row['parameters']:,} parameters",
    "gflop_per_image": lambda row: f"{number(row['gflop_per_image'])} GFLOP/image",
}
# of which the value says it all
PLAIN = ("mode", "precision", "parallel", "stack", "set", "held")

one_decimal = partial(decimals, digits=1, missing=MISSING)
two_decimals = partial(decimals, digits=2, missing=MISSING)

# the header of a column, and its text of a row's values of the keys after it
Column = tuple[str, Callable[..., str], *tuple[str, ...]]


class Page(NamedTuple):
    """A table under a line that says what all rows have in common, for any output.

    `left`: how many columns hold words; `failed`: a line for every case that failed.
    """

    heading: str
    header: list[str]
    cells: list[list[str]]
    left: int
    notes: Sequence[str]
    failed: list[str]

    def markdown(self) -> str:
        """The page as Markdown."""
        table = text.markdown_table(self.header, self.cells, self.left)
        failed = [
            text.inline(f"Failed: {line}").replace("|", "\\|") for line in self.failed
        ]
        return "\n\n".join([f"{self.heading}:", table, *self.notes, *failed]) + "\n"

    def print(self) -> None:
        """Print the page on the terminal."""
        # wide enough for every column, wherever it is printed
        text.print_table(
            self.header, self.cells, title=self.heading, left=self.left, width=200
        )
        for line in (*self.notes, *(f"failed: {line}" for line in self.failed)):
            print(line)


class Report:
    """`NAME.json`, `.csv` and `.md` in `out`, written anew after every measurement.

    Files of an earlier benchmark are removed. `facts` is the part of the JSON that is
    not rows: at least how cases were timed (`seconds`, `repeats`, `interleave`). Raises
    UserError where nothing can be written in `out`.
    """

    name = "benchmark"
    kinds: tuple[str, ...] = ("json", "csv", "md")

    def __init__(self, out: Path, runs: Sequence, facts: dict):
        self.out, self.runs, self.facts = out, runs, facts
        check_writable("--out", out)
        with writing("--out", out):
            for kind in self.kinds:
                self.path(kind).unlink(missing_ok=True)

    def rows(self) -> list[dict]:
        """The rows of all cases that were begun."""
        raise NotImplementedError

    def page(self, rows: Sequence[dict]) -> Page:
        """The table of the rows, with what it needs to be understood."""
        raise NotImplementedError

    def show(self, rows: Sequence[dict]) -> None:
        """Print the table."""
        print(self.page(rows).markdown(), end="")

    def path(self, kind: str) -> Path:
        """The file of a kind."""
        return self.out / f"{self.name}.{kind}"

    def write(self, finished: bool = False) -> list[dict]:
        """Write the rows measured so far, each file in one step; returns the rows."""
        rows = self.rows()
        # where many hosts measure, one writes
        if not rows or jax.process_index():
            return []
        content = self.facts | {"finished": finished, "rows": rows}
        content["versions"] = versions()
        lines = io.StringIO()
        writer = csv.DictWriter(lines, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        for kind, written in (
            ("json", json.dumps(content, indent=2, allow_nan=False) + "\n"),
            ("csv", lines.getvalue()),
            ("md", self.page(rows).markdown()),
        ):
            write_bytes(self.path(kind), written.encode())
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


def make_page(
    rows: Sequence[dict],
    swept: Sequence[str],
    columns: Sequence[Column],
    heading: str,
    *notes: str,
    named_by: Sequence[str] = (),
) -> Page:
    """The page of `rows`: a column for each setting in `swept`, then `columns`.

    Cases that failed are named by the settings `named_by`, or else by `swept`.
    """
    columns = [*((short(name), str, name) for name in swept), *columns]
    cells = [
        [form(*(row[k] for k in keys)) for _, form, *keys in columns] for row in rows
    ]
    header = [name for name, *_ in columns]
    failed = failures(rows, named_by or swept)
    return Page(heading, header, cells, len(swept), notes, failed)


def failures(rows: Sequence[dict], named_by: Sequence[str]) -> list[str]:
    """A line for every case that failed, with its settings `named_by`."""
    return [f"{label(r, named_by)}: {r['error']}" for r in rows if r.get("error")]


def heading(rows: Sequence[dict], columns: Sequence[str]) -> str:
    """Those of `columns` that all rows have in common, in a line."""
    swept, first = varying(rows), rows[0]
    parts = []
    for column in columns:
        if column in swept or (column == "steps_per_call" and first[column] == 1):
            continue
        plain = str(first[column])
        named = plain if column in PLAIN else f"{short(column)} {plain}"
        parts.append(SAID[column](first) if column in SAID else named)
    return ", ".join(parts)


def total(form: Callable[[float | None], str]) -> Callable[..., str]:
    """A text of the sum of several values, all of them known or none."""
    return lambda *values: form(None if None in values else sum(values))

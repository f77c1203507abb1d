"""The table of a benchmark: for the terminal, and as Markdown for a README."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.benchmark.cases import label, short, varying
from experiments.core.errors import writing
from experiments.core.results import versions
from experiments.core.text import MISSING, markdown_lines, number
from flowjax_ood.runtime.files import write_bytes

# what does not change from row to row is said once, above the table
CONSTANT = ("image_shape", "parameters", "gflop_per_image")


def table(rows: Sequence[dict], settings: Sequence[str]) -> tuple[list[str], list]:
    """`(header, cells of each row)` as text; `settings`: the columns of the sweep."""
    columns = [(short(c), lambda r, c=c: str(r[c])) for c in _swept(rows, settings)]
    if "parameters" in varying(rows):
        columns.append(("parameters", lambda r: f"{r['parameters']:,}"))
    columns += _measurements(rows)
    header = [name for name, _ in columns]
    return header, [[cell(row) for _, cell in columns] for row in rows]


def heading(rows: Sequence[dict], settings: Sequence[str]) -> str:
    """What all rows have in common, in a line."""
    swept, first = varying(rows), rows[0]
    shown = {c: first[c] for c in (*settings, *CONSTANT) if c not in swept}
    if shown.get("steps_per_call") == 1:
        del shown["steps_per_call"]
    text = {
        "batch_size": lambda v: f"batch {v}",
        "image_shape": lambda v: f"images {v}",
        "parameters": lambda v: f"{v:,} parameters",
        "gflop_per_image": lambda v: f"{number(v)} GFLOP/image",
    }
    plain = ("mode", "precision", "parallel", "stack")
    parts = []
    for column, value in shown.items():
        if column in text:
            parts.append(text[column](value))
        else:
            parts.append(str(value) if column in plain else f"{short(column)} {value}")
    return ", ".join(parts)


def failures(rows: Sequence[dict], settings: Sequence[str]) -> list[str]:
    """A line for every case that failed."""
    swept = _swept(rows, settings)
    return [f"{label(r, swept)}: {r['error']}" for r in rows if r["error"]]


def markdown(rows: Sequence[dict], settings: Sequence[str], notes: str) -> str:
    """The table as Markdown, with what is constant above it, and `notes` below."""
    header, cells = table(rows, settings)
    lines = [heading(rows, settings) + ":", ""]
    lines += markdown_lines(header, cells, left=len(_swept(rows, settings)))
    lines += ["", notes]
    for failed in failures(rows, settings):
        escaped = failed.replace("|", "\\|")
        lines += ["", f"Failed: {escaped}"]
    return "\n".join(lines) + "\n"


def print_table(rows: Sequence[dict], settings: Sequence[str], notes: str) -> None:
    """The same on the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    header, cells = table(rows, settings)
    left = len(_swept(rows, settings))
    shown = Table(title=escape(heading(rows, settings)), title_justify="left")
    for index, name in enumerate(header):
        justify = "left" if index < left else "right"
        shown.add_column(escape(name), justify=justify, no_wrap=True)
    for line in cells:
        shown.add_row(*map(escape, line))
    # wide enough for every column, wherever it is printed
    Console(width=200).print(shown)
    for line in [notes, *(f"failed: {f}" for f in failures(rows, settings))]:
        print(line)


def _swept(rows, settings) -> list[str]:
    swept = [c for c in varying(rows) if c in settings]
    # a single row says at least what it is of
    return swept or ["mode"]


def _measurements(rows) -> list[tuple[str, Callable[[dict], str]]]:
    """The columns one reads first; the others are in the JSON and the CSV."""

    def spread(row, name):
        low, high = row[f"{name}_min"], row[f"{name}_max"]
        if low is None:
            return MISSING
        return f"{number(low)}-{number(high)}"

    def compilation(row):
        if row["trace_seconds"] is None:
            return MISSING
        return f"{row['trace_seconds'] + row['lower_seconds']:.1f}"

    def memory(row):
        if row["argument_mib"] is None:
            return MISSING
        return number(row["argument_mib"] + row["output_mib"])

    columns = [
        ("images/s", lambda r: number(r["images_per_second"])),
        ("spread", lambda r: spread(r, "images_per_second")),
        ("ratio", lambda r: _fixed(r["ratio"], 2)),
        (
            "spread",
            lambda r: (
                MISSING
                if r["ratio"] is None
                else f"{r['ratio_min']:.2f}-{r['ratio_max']:.2f}"
            ),
        ),
        ("step ms", lambda r: number(r["step_ms_p50"])),
        ("trace s", compilation),
        ("compile s", lambda r: _fixed(r["compile_seconds"], 1)),
        ("temp MiB", lambda r: number(r["temporary_mib"])),
        ("in+out MiB", memory),
    ]
    if any(row["device_peak_mib"] is not None for row in rows):
        columns.append(("peak MiB", lambda r: number(r["device_peak_mib"])))
    return [
        *columns,
        ("GFLOP/s", lambda r: number(r["gflops_per_second"])),
        ("MFU", lambda r: MISSING if r["mfu"] is None else f"{100 * r['mfu']:.1f}%"),
    ]


def _fixed(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


class Files:
    """`NAME.json`, `.csv` and `.md` in `out`, and `more` kinds that others write.

    Those from before are removed: they would not be of these rows. Raises UserError
    where nothing can be written in `out`.
    """

    def __init__(self, out: Path, name: str, more: Sequence[str] = ()):
        self._out, self._name = out, name
        with writing("--out", out):
            out.mkdir(parents=True, exist_ok=True)
            for kind in ("json", "csv", "md", *more):
                self.path(kind).unlink(missing_ok=True)

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


RATE = "images_per_second"

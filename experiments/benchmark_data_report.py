"""The files `benchmark --data` leaves: benchmark_data.json, .csv and .md."""

from collections.abc import Sequence
from pathlib import Path

from experiments.benchmark_cases import short, varying
from experiments.benchmark_data_rows import Reading, make_rows, verdict
from experiments.benchmark_files import Files
from experiments.benchmark_table import markdown_lines, number
from experiments.results import versions

NAME = "benchmark_data"


class DataReport:
    """`NAME.json`, `.csv` and `.md` in `out`, written anew after every round.

    `facts`: what else the JSON says of all rows, at least how they were timed
    (`seconds`, `repeats`, `interleave`) and what `need_is`. Raises UserError where
    nothing can be written in `out`.
    """

    def __init__(self, out: Path, readings: Sequence[Reading], facts: dict):
        self._out, self._readings, self._facts = out, readings, facts
        self._swept = varying([one.settings for one in readings])
        self._files = Files(out, NAME)

    def name(self, one: Reading) -> str:
        """What tells a case from the others, in a few words."""
        settings = one.settings
        shown = [f"{short(c).replace('_', ' ')} {settings[c]}" for c in self._swept]
        return ", ".join(shown) or settings["set"]

    def write(self, finished: bool = False) -> None:
        """Write what has been measured so far."""
        rows = make_rows(self._readings)
        content = {**self._facts, "finished": finished, "rows": rows}
        self._files.write(content, self._markdown(rows))

    def close(self) -> None:
        """Write everything, and print the table."""
        self.write(finished=True)
        print(self._markdown(make_rows(self._readings)), end="")
        print(f"{NAME}.json, .csv and .md are in {self._out}")

    def _markdown(self, rows: Sequence[dict]) -> str:
        columns = [
            *((short(c).replace("_", " "), c) for c in self._swept),
            ("input images/s", "input_images_per_second"),
            ("slowest", "input_images_per_second_min"),
            ("fastest", "input_images_per_second_max"),
            ("images/s of a core", "input_images_per_core_second"),
            ("step takes images/s", "step_images_per_second"),
            ("ratio", "ratio"),
            ("cores needed", "cores_needed"),
        ]
        left = len(self._swept)
        cells = [[_cell(row[c]) for _, c in columns] for row in rows]
        head = [name for name, _ in columns]
        lines = [self._heading(rows[0]) + ":", ""]
        lines += markdown_lines(head, cells, left)
        lines += [""] + [
            f"* {self.name(one)}: {verdict(one)}"
            for one in self._readings
            if one.rounds
        ]
        facts = self._facts
        turns = " by turns" if facts["interleave"] else ""
        lines += [
            "",
            f"{facts['cores']} cores; {facts['repeats']} repeats of "
            f"{facts['seconds']:g} s each{turns}: median, slowest and fastest. What "
            f"the step takes is {facts['need_is']} ({versions()['device']}).",
        ]
        return "\n".join(lines) + "\n"

    def _heading(self, row: dict) -> str:
        shown = [row["set"], f"source {row['source']}", row["held"]]
        names = ("set", "source", "held")
        parts = [v for n, v in zip(names, shown) if n not in self._swept]
        parts.append(f"{row['images']:,} images {row['image_shape']}")
        if "batch_size" not in self._swept:
            parts.append(f"batch {row['batch_size']}")
        return ", ".join(parts)


def _cell(value) -> str:
    if isinstance(value, float) or value is None:
        return number(value)
    return str(value)

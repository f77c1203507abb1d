"""The files `benchmark --devices` leaves: weak_scaling.json, .csv and .md."""

from collections.abc import Sequence
from pathlib import Path

import jax

from experiments.benchmark_cases import label, short, varying
from experiments.benchmark_files import Files
from experiments.benchmark_scaling_rows import make_rows
from experiments.benchmark_table import MISSING, heading, markdown_lines, number
from experiments.results import versions

NAME = "weak_scaling"
# columns of their own in the table, whatever is swept
OWN = ("devices", "batch_size", "batch_per_device")


class ScalingReport:
    """`NAME.json`, `.csv` and `.md` in `out`, written anew after every measurement.

    `facts`: what else the JSON says of all rows, at least how they were timed
    (`seconds`, `repeats`, `interleave`) and the number of `cores`. Raises UserError
    where nothing can be written in `out`.
    """

    def __init__(self, out: Path, runs: Sequence, facts: dict):
        self._out, self._runs, self._facts = out, runs, facts
        self._cpu = jax.default_backend() == "cpu"
        settings = [run.case.settings for run in runs]
        self._settings = list(settings[0])
        self._swept = [c for c in varying(settings) if c not in OWN]
        self._files = Files(out, NAME)

    def write(self, finished: bool = False) -> None:
        """Write what has been measured so far."""
        rows = make_rows(self._runs, self._facts["interleave"])
        if not rows:
            return
        content = {**self._facts, "finished": finished, "rows": rows}
        self._files.write(content, self._markdown(rows))

    def close(self, finished: bool) -> None:
        """Write everything, and print the table."""
        self.write(finished)
        rows = make_rows(self._runs, self._facts["interleave"])
        if not rows:
            return
        print(self._markdown(rows), end="")
        print(f"{NAME}.json, .csv and .md are in {self._out}")

    def _markdown(self, rows: Sequence[dict]) -> str:
        columns = [(short(c), lambda r, c=c: str(r[c])) for c in self._swept]
        left = len(columns)
        columns += [
            ("devices", lambda r: str(r["devices"])),
            ("global batch", lambda r: str(r["batch_size"])),
            ("step ms", lambda r: number(r["step_ms"])),
            ("fastest-slowest", _spread),
            ("images/s", lambda r: number(r["images_per_second"])),
            ("efficiency", lambda r: _fixed(r["efficiency"], "{:.2f}")),
            ("speedup", lambda r: _fixed(r["speedup"], "{:.2f}")),
            ("all-reduce ms", lambda r: number(r["all_reduce_ms"])),
            ("of the step", lambda r: _fixed(r["all_reduce_share"], "{:.1%}")),
        ]
        cells = [[cell(row) for _, cell in columns] for row in rows]
        head = [name for name, _ in columns]
        constant = [c for c in self._settings if c not in OWN]
        lines = [f"Weak scaling, {heading(rows, constant)}:", ""]
        lines += markdown_lines(head, cells, left)
        lines += ["", self._notes(rows)]
        for row in rows:
            if row["error"]:
                name = label(row, ["devices", *self._swept])
                lines += ["", f"Failed: {name}: {row['error']}"]
        return "\n".join(lines) + "\n"

    def _notes(self, rows: Sequence[dict]) -> str:
        facts, first = self._facts, rows[0]
        turns = " by turns" if facts["interleave"] else ""
        text = (
            f"{versions()['device']}; {first['batch_per_device']} images a device; "
            f"{facts['repeats']} repeats of {facts['seconds']:g} s each{turns}. "
            "Efficiency is the time of a step on the fewest devices by that on these "
            "(1 is ideal), speedup that of images/s. The all-reduce is of "
            f"{number(first['all_reduce_mib'])} MiB a step, timed by itself."
        )
        if self._cpu:
            cores = facts["cores"]
            text += (
                f" These are virtual devices that share the {cores} cores of one CPU: "
                f"the ideal time of a step is time(1) * n / {cores} where one device "
                f"keeps one core busy (speedup {cores}), and time(1) * n where it "
                "keeps all of them busy (speedup 1). The table shows what spreading a "
                "step costs, not how chips with cores of their own would scale."
            )
        return text


def _spread(row: dict) -> str:
    if row["step_ms_min"] is None:
        return MISSING
    return f"{number(row['step_ms_min'])}-{number(row['step_ms_max'])}"


def _fixed(value: float | None, form: str) -> str:
    return MISSING if value is None else form.format(value)

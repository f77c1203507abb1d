"""The files a benchmark leaves: written anew as it goes, each in one step."""

from collections.abc import Sequence
from pathlib import Path

import jax

from experiments.benchmark_files import Files
from experiments.benchmark_plot import draw
from experiments.benchmark_rows import RATE, make_rows
from experiments.benchmark_run import Run
from experiments.benchmark_table import markdown, number, print_table
from experiments.results import versions
from flowjax_ood.analysis import figures


class Report:
    """benchmark.json, .csv, .md and .png in `out`.

    `peaks`: FLOP/s of all devices for each precision, by what they were measured with;
    `facts`: what else benchmark.json says of all rows, at least how they were timed
    (`seconds`, `repeats`, `interleave`) and what `peak_is`. Raises UserError where
    nothing can be written in `out`.
    """

    def __init__(
        self,
        out: Path,
        runs: Sequence[Run],
        peaks: dict[str, dict[str, float]],
        facts: dict,
    ):
        self._out, self._runs, self._peaks, self._facts = out, runs, peaks, facts
        self._settings = list(runs[0].case.settings)
        self._files = Files(out, "benchmark", more=["png"])

    def write(self, finished: bool = False) -> None:
        """Write what has been measured so far, but for the figure."""
        rows = self._rows()
        # where many hosts measure, one writes
        if not rows or jax.process_index():
            return
        content = {
            **self._facts,
            "finished": finished,
            "peak_flops_per_second": self._peaks,
            "rows": rows,
        }
        self._files.write(content, markdown(rows, self._settings, self._notes()))

    def close(self, finished: bool) -> None:
        """Write everything, and print the table."""
        self.write(finished)
        rows = self._rows()
        if not rows or jax.process_index():
            return
        print_table(rows, self._settings, self._notes())
        files = "benchmark.json, .csv and .md"
        if any(row[RATE] for row in rows):
            figures.save(draw(rows, self._settings), self._files.path("png"))
            files = "benchmark.json, .csv, .md and .png"
        print(f"{files} are in {self._out}")

    def _rows(self) -> list[dict]:
        best = {name: max(found.values()) for name, found in self._peaks.items()}
        return make_rows(self._runs, best, paired=self._facts["interleave"])

    def _notes(self) -> str:
        facts = self._facts
        turns = " by turns" if facts["interleave"] else ""
        peaks = ", ".join(
            f"{number(max(found.values()) / 1e9)} GFLOP/s ({name})"
            for name, found in self._peaks.items()
        )
        return (
            f"{versions()['device']}; {facts['repeats']} repeats of "
            f"{facts['seconds']:g} s each{turns}: median, slowest and fastest. Ratios "
            f"are to the first row. MFU is against {peaks}, {facts['peak_is']}."
        )

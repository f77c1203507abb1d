"""The numbers of a benchmark, and how each follows from measured times.

A row has the settings of its case (mode, batch_size, precision, parallel,
steps_per_call, stack, and every key given to --vary), then:

* `image_shape`, `parameters`;
* `images_per_second`, of all devices together: median, `_min` and `_max` over the
  repeats, of each of which it is the median;
* `ratio`: images/s relative to the first row that has any. Measured by turns
  (--interleave), round against round: median, `_min` and `_max`. Otherwise `_min` and
  `_max` are the worst against the best repeat;
* `step_ms_p10`, `_p50`, `_p90`: quantiles over all `steps` calls, each divided by its
  `steps_per_call`; milliseconds;
* `trace_seconds`, `lower_seconds`, `compile_seconds`, and `startup_seconds`, their sum;
  pmap compiles as it is first called, and only the sum is known;
* `temporary_mib`, `argument_mib`, `output_mib`, per device, by the compiler's account.
  Outputs that take the place of donated arguments are not counted. null for pmap;
* `device_peak_mib`: most memory in use on any device, by the allocator's account. null
  where there is none (CPU), or where another case needed as much;
* `gflop_per_image`: matrix products and convolutions of the model, counted on its
  program; `executed_gflop_per_image` with what rematerialisation computes again, and
  with the fewer products of Winograd's convolution;
* `gflops_per_second`: the model's, at `images_per_second`; `mfu`, model FLOP
  utilisation: its share of the peak; `hfu`: the share of what is executed;
* `error`: what went wrong, null where nothing did.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.benchmark.outputs import MIB, RATE, Report, markdown, print_table
from experiments.benchmark.plot import draw
from experiments.benchmark.run import CaseRun
from experiments.benchmark.timing import Timing, summary
from experiments.core.results import versions
from experiments.core.text import number
from flowjax_ood import figures


def make_rows(
    runs: Sequence[CaseRun], peaks: dict[str, float], paired: bool
) -> list[dict]:
    """A row for every case that was begun; `peaks`: FLOP/s for each precision."""
    begun = [run for run in runs if run.startup or run.error]
    reference = next((run for run in begun if run.rounds), None)
    return [_row(run, reference, peaks, paired) for run in begun]


def _row(run: CaseRun, reference: CaseRun | None, peaks, paired) -> dict:
    size = run.case.settings["batch_size"]
    row = dict(run.case.settings)
    row["image_shape"] = "x".join(map(str, run.counts.image_shape))
    row["parameters"] = run.counts.parameters
    timing = summary(run.rounds) if run.rounds else None
    row |= _throughput(run, timing, reference, paired)
    row |= _startup(run)
    row["device_peak_mib"] = run.device_peak and run.device_peak / MIB
    row["gflop_per_image"] = run.counts.flops / size / 1e9
    row["executed_gflop_per_image"] = run.counts.executed_flops / size / 1e9
    row |= dict.fromkeys(("gflops_per_second", "mfu", "hfu"))
    if run.rounds:
        # GFLOP that the peak would have done in an image's time
        budget = peaks[run.case.settings["precision"]] / 1e9 / row[RATE]
        row["gflops_per_second"] = row["gflop_per_image"] * row[RATE]
        row["mfu"] = row["gflop_per_image"] / budget
        row["hfu"] = row["executed_gflop_per_image"] / budget
    return row | {"error": run.error}


def _throughput(run: CaseRun, timing: Timing | None, reference, paired: bool) -> dict:
    names = [RATE, f"{RATE}_min", f"{RATE}_max", "ratio", "ratio_min", "ratio_max"]
    names += ["step_ms_p10", "step_ms_p50", "step_ms_p90", "steps"]
    if timing is None:
        return dict.fromkeys(names)
    own, others = rates(run), rates(reference)
    ratio = [1.0] * 3 if run is reference else ratios(own, others, paired)
    values = [float(np.median(own)), min(own), max(own), *ratio]
    each = 1e3 / run.steps
    values += [each * timing.p10, each * timing.p50, each * timing.p90, timing.calls]
    return dict(zip(names, values, strict=True))


def ratios(own: list[float], others: list[float], paired: bool) -> list[float]:
    """Median, least and greatest ratio of what two cases gave in each round."""
    if paired:
        # a round of one against the same round of the other: a case may lack some
        found = [a / b for a, b in zip(own, others, strict=False)]
        return [float(np.median(found)), min(found), max(found)]
    middle = float(np.median(own) / np.median(others))
    return [middle, min(own) / max(others), max(own) / min(others)]


def rates(run: CaseRun) -> list[float]:
    """Images a second of each round."""
    images = run.case.settings["batch_size"] * run.steps
    return [images / seconds for seconds in summary(run.rounds).repeats]


def _startup(run: CaseRun) -> dict:
    found = run.startup
    seconds, sizes = ("trace", "lower", "compile"), ("temporary", "argument", "output")
    if found is None:
        names = [f"{name}_seconds" for name in (*seconds, "startup")]
        return dict.fromkeys([*names, *(f"{name}_mib" for name in sizes)])
    memory = (found.temporary, found.arguments, found.outputs)
    return {
        "trace_seconds": found.trace,
        "lower_seconds": found.lower,
        "compile_seconds": found.compile,
        "startup_seconds": found.first,
        **{
            f"{name}_mib": None if size is None else size / MIB
            for name, size in zip(sizes, memory, strict=True)
        },
    }


class ThroughputReport(Report):
    """benchmark.json, .csv, .md and .png.

    `peaks`: FLOP/s of all devices for each precision, by what they were measured with;
    `facts` also says what `peak_is`.
    """

    kinds = (*Report.kinds, "png")

    def __init__(
        self,
        out: Path,
        runs: Sequence[CaseRun],
        peaks: dict[str, dict[str, float]],
        facts: dict,
    ):
        super().__init__(out, facts | {"peak_flops_per_second": peaks})
        self._runs, self._settings = runs, list(runs[0].case.settings)
        self._peaks = {name: max(found.values()) for name, found in peaks.items()}

    def rows(self) -> list[dict]:
        return make_rows(self._runs, self._peaks, paired=self.facts["interleave"])

    def markdown(self, rows: Sequence[dict]) -> str:
        return markdown(rows, self._settings, self._notes())

    def show(self, rows: Sequence[dict]) -> None:
        """Print the table, and draw the figure."""
        print_table(rows, self._settings, self._notes())
        if any(row[RATE] for row in rows):
            figures.save(draw(rows, self._settings), self.path("png"))

    def _notes(self) -> str:
        peaks = ", ".join(
            f"{number(flops / 1e9)} GFLOP/s ({name})"
            for name, flops in self._peaks.items()
        )
        return (
            f"{versions()['device']}; {self.timed()}: median, slowest and fastest. "
            f"Ratios are to the first row. MFU is against {peaks}, "
            f"{self.facts['peak_is']}."
        )

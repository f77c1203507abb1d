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
  with the fewer products of Winograd's convolution and the zeros of folded channels;
* `gflops_per_second`: the model's, at `images_per_second`; `mfu`, model FLOP
  utilisation: its share of the peak; `hfu`: the share of what is executed;
* `error`: what went wrong, null where nothing did.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from experiments.benchmark.cases import varying
from experiments.benchmark.outputs import (
    CONSTANT,
    RATE,
    Column,
    Page,
    Report,
    heading,
    make_page,
    one_decimal,
    total,
    two_decimals,
)
from experiments.benchmark.plot import draw
from experiments.benchmark.run import MIB, CaseRun
from experiments.benchmark.timing import medians
from experiments.benchmark.work import Counts
from experiments.core import drawing
from experiments.core.results import spread, versions
from flowjax_ood.interface.text import number, number_range, share

STEP = ("step_ms_p10", "step_ms_p50", "step_ms_p90")
# the columns of a row after its settings
NUMBERS = (
    *("image_shape", "parameters"),
    *(RATE, f"{RATE}_min", f"{RATE}_max", "ratio", "ratio_min", "ratio_max"),
    *(*STEP, "steps"),
    *("trace_seconds", "lower_seconds", "compile_seconds", "startup_seconds"),
    *("temporary_mib", "argument_mib", "output_mib", "device_peak_mib"),
    *("gflop_per_image", "executed_gflop_per_image", "gflops_per_second"),
    *("mfu", "hfu", "error"),
)


def make_rows(
    runs: Sequence[CaseRun], peaks: dict[str, float], paired: bool
) -> list[dict]:
    """A row for every case that was begun; `peaks`: FLOP/s for each precision."""
    begun = [run for run in runs if run.startup or run.error]
    reference = next((run for run in begun if run.rounds), None)
    return [_row(run, reference, peaks, paired) for run in begun]


def _row(run: CaseRun, reference: CaseRun | None, peaks, paired: bool) -> dict:
    row, counts = begun_row(run, NUMBERS), _counts(run)
    flops = counts.executed_flops / row["batch_size"] / 1e9
    row["executed_gflop_per_image"] = flops
    row["device_peak_mib"] = run.device_peak and run.device_peak / MIB
    if run.startup:
        row |= run.startup._asdict()
    if run.rounds:
        assert reference is not None  # this one, if no other
        own, calls = rates(run), np.concatenate(run.rounds)
        row |= spread(RATE, own)
        paired = paired or run is reference
        row |= ratios("ratio", own, rates(reference), paired)
        quantiles = 1e3 / run.steps * np.quantile(calls, [0.1, 0.5, 0.9])
        row |= zip(STEP, quantiles.tolist(), strict=True)
        row["steps"] = len(calls)
        # GFLOP that the peak would have done in an image's time
        budget = peaks[row["precision"]] / 1e9 / row[RATE]
        row["gflops_per_second"] = row["gflop_per_image"] * row[RATE]
        row["mfu"] = row["gflop_per_image"] / budget
        row["hfu"] = row["executed_gflop_per_image"] / budget
    return row


def begun_row(run: CaseRun, columns: Sequence[str]) -> dict:
    """The row of a case before it is timed: its settings, then `columns`."""
    settings, counts = run.case.settings, _counts(run)
    return (
        settings
        | dict.fromkeys(columns)
        | {
            "image_shape": "x".join(map(str, counts.image_shape)),
            "parameters": counts.parameters,
            "gflop_per_image": counts.flops / settings["batch_size"] / 1e9,
            "error": run.error,
        }
    )


def _counts(run: CaseRun) -> Counts:
    assert run.counts is not None  # of what is in a table
    return run.counts


def ratios(name: str, own: list[float], others: list[float], paired: bool) -> dict:
    """The spread of the ratio of what two cases gave in each round."""
    if paired:
        # a round of one against the same round of the other: a case may lack some
        return spread(name, [a / b for a, b in zip(own, others, strict=False)])
    middle = float(np.median(own) / np.median(others))
    low, high = min(own) / max(others), max(own) / min(others)
    return {name: middle, f"{name}_min": low, f"{name}_max": high}


def rates(run: CaseRun) -> list[float]:
    """Images a second of each round."""
    images = run.case.settings["batch_size"] * run.steps
    return [images / seconds for seconds in medians(run.rounds)]


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
        super().__init__(out, runs, facts | {"peak_flops_per_second": peaks})
        self._settings = list(runs[0].case.settings)
        self._peaks = {name: max(by.values()) for name, by in peaks.items()}

    def rows(self) -> list[dict]:
        return make_rows(self.runs, self._peaks, paired=self.facts["interleave"])

    def page(self, rows: Sequence[dict]) -> Page:
        peaks = ", ".join(
            f"{number(flops / 1e9)} GFLOP/s ({name})"
            for name, flops in self._peaks.items()
        )
        notes = (
            f"{versions()['device']}; {self.timed()}: median, slowest and fastest. "
            f"Ratios are to the first row. MFU is against {peaks}, "
            f"{self.facts['peak_is']}."
        )
        return throughput_page(rows, self._settings, notes)

    def show(self, rows: Sequence[dict]) -> None:
        """Print the table, and draw the figure."""
        self.page(rows).print()
        if any(row[RATE] for row in rows):
            drawing.draw(self.path("png"), lambda: draw(rows, self._settings))


def throughput_page(rows: Sequence[dict], settings: Sequence[str], notes: str) -> Page:
    """The table of models; `settings`: the columns of the sweep."""
    # a single row says at least what it is of
    swept = [c for c in varying(rows) if c in settings] or ["mode"]
    said = heading(rows, (*settings, *CONSTANT))
    return make_page(rows, swept, _columns(rows), said, notes)


def _columns(rows: Sequence[dict]) -> list[Column]:
    """The numbers one reads first; the others are in the JSON and the CSV."""
    columns: list[Column] = [
        ("images/s", number, RATE),
        ("spread", number_range, f"{RATE}_min", f"{RATE}_max"),
        ("ratio", two_decimals, "ratio"),
        ("spread", partial(number_range, text=two_decimals), "ratio_min", "ratio_max"),
        ("step ms", number, "step_ms_p50"),
        ("trace s", total(one_decimal), "trace_seconds", "lower_seconds"),
        ("compile s", one_decimal, "compile_seconds"),
        ("temp MiB", number, "temporary_mib"),
        ("in+out MiB", total(number), "argument_mib", "output_mib"),
        ("GFLOP/s", number, "gflops_per_second"),
        ("MFU", share, "mfu"),
    ]
    if any(row["device_peak_mib"] is not None for row in rows):
        columns.insert(-2, ("peak MiB", number, "device_peak_mib"))
    if "parameters" in varying(rows):
        columns.insert(0, ("parameters", "{:,}".format, "parameters"))
    return columns

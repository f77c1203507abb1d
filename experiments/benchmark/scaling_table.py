"""The numbers of `benchmark --devices`, and how each follows from measured times.

A row has the settings of its case (as in throughput.py; `batch_size` is that of all
devices together), `devices`, `batch_per_device`, `image_shape`, `parameters` and
`gflop_per_image`, then:

* `step_ms`: of one training step; median over the repeats of their medians, `_min` and
  `_max`, the fastest and the slowest repeat;
* `images_per_second`, of all devices together;
* `efficiency`: time of a step on the fewest devices by that on these, each with as
  large a batch; 1 is perfect weak scaling. By turns (--interleave), round against
  round: median, `_min` and `_max`;
* `speedup`: images a second by those on the fewest devices. Virtual devices of one CPU
  share its cores: there a step's ideal time is time(1) * n / cores where one device
  keeps one core busy, and time(1) * n where it keeps all busy. The ideal speedup lies
  between `cores` and 1 accordingly, and the ideal efficiency is that by n;
* `all_reduce_mib`: gradients and batch statistics that a step averages, by device;
* `all_reduce_ms`: a program that does nothing but average them, each in the memory of
  its device; null on one device. `all_reduce_share`: its part of `step_ms`, at most:
  where a compiler can, it computes meanwhile;
* `compile_seconds` of the step, null where it compiles as it is first called (pmap);
* `error`: what went wrong, null where nothing did.
"""

from collections.abc import Sequence

import jax
import numpy as np

from experiments.benchmark.cases import varying
from experiments.benchmark.outputs import (
    CONSTANT,
    MIB,
    Page,
    Report,
    heading,
    make_page,
    two_decimals,
)
from experiments.benchmark.throughput import begun_row, ratios
from experiments.benchmark.timing import spread, summary
from experiments.core.results import versions
from experiments.core.text import number, number_range, share

COMPARED = ("efficiency", "efficiency_min", "efficiency_max")
# the columns of a row after its settings
NUMBERS = (
    *("image_shape", "parameters", "gflop_per_image"),
    *("step_ms", "step_ms_min", "step_ms_max", "images_per_second"),
    *(*COMPARED, "speedup", "all_reduce_mib", "all_reduce_ms", "all_reduce_share"),
    *("compile_seconds", "error"),
)
# settings with columns of their own in the table, whatever is swept
OWN = ("devices", "batch_size", "batch_per_device")
# the table's columns after what is swept
COLUMNS = (
    ("devices", str, "devices"),
    ("global batch", str, "batch_size"),
    ("step ms", number, "step_ms"),
    ("fastest-slowest", number_range, "step_ms_min", "step_ms_max"),
    ("images/s", number, "images_per_second"),
    ("efficiency", two_decimals, "efficiency"),
    ("speedup", two_decimals, "speedup"),
    ("all-reduce ms", number, "all_reduce_ms"),
    ("of the step", share, "all_reduce_share"),
)


def make_rows(runs: Sequence, paired: bool) -> list[dict]:
    """A row for every `ScalingRun` that was begun, compared with the first like it."""
    begun = [run for run in runs if run.startup or run.error]
    return [_row(run, _reference(run, begun), paired) for run in begun]


def _row(run, reference, paired: bool) -> dict:
    row = begun_row(run, NUMBERS)
    row["all_reduce_mib"] = run.reduced / MIB
    row["compile_seconds"] = run.startup and run.startup.compile
    if run.rounds:
        own, base = step_ms(run), step_ms(reference)
        row |= spread("step_ms", own)
        row["images_per_second"] = 1e3 * row["batch_size"] / row["step_ms"]
        paired = paired or run is reference
        row |= zip(COMPARED, ratios(base, own, paired), strict=True)
        row["speedup"] = row["efficiency"] * run.devices / reference.devices
    if run.reduce_rounds:
        row["all_reduce_ms"] = 1e3 * float(
            np.median(summary(run.reduce_rounds).repeats)
        )
        row["all_reduce_share"] = row["all_reduce_ms"] / row["step_ms"]
    return row


def step_ms(run) -> list[float]:
    """Milliseconds of a training step in each round."""
    return [1e3 * seconds / run.steps for seconds in summary(run.rounds).repeats]


def _reference(run, runs: Sequence):
    """The same case on the fewest devices, if that has been timed."""

    def kind(run):
        return {k: v for k, v in run.case.settings.items() if k not in OWN[:2]}

    alike = [r for r in runs if kind(r) == kind(run) and r.rounds]
    return min(alike, key=lambda r: r.devices, default=None)


class ScalingReport(Report):
    """weak_scaling.json, .csv and .md; `facts` also says how many `cores` there are."""

    name = "weak_scaling"

    def rows(self) -> list[dict]:
        return make_rows(self.runs, self.facts["interleave"])

    def page(self, rows: Sequence[dict]) -> Page:
        settings = [run.case.settings for run in self.runs]
        swept = [c for c in varying(settings) if c not in OWN]
        constant = [c for c in settings[0] if c not in OWN]
        head = f"Weak scaling, {heading(rows, (*constant, *CONSTANT))}"
        named_by = ["devices", *swept]
        return make_page(
            rows, swept, COLUMNS, head, self._notes(rows[0]), named_by=named_by
        )

    def _notes(self, first: dict) -> str:
        text = (
            f"{versions()['device']}; {first['batch_per_device']} images a device; "
            f"{self.timed()}. "
            "Efficiency is the time of a step on the fewest devices by that on these "
            "(1 is ideal), speedup that of images/s. The all-reduce is of "
            f"{number(first['all_reduce_mib'])} MiB a step, timed by itself."
        )
        if jax.default_backend() == "cpu":
            cores = self.facts["cores"]
            text += (
                f" These are virtual devices that share the {cores} cores of one CPU: "
                f"the ideal time of a step is time(1) * n / {cores} where one device "
                f"keeps one core busy (speedup {cores}), and time(1) * n where it "
                "keeps all of them busy (speedup 1). The table shows what spreading a "
                "step costs, not how chips with cores of their own would scale."
            )
        return text

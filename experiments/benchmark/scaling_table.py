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
from pathlib import Path

import jax
import numpy as np

from experiments.benchmark.cases import label, varying
from experiments.benchmark.outputs import (
    MIB,
    Report,
    heading,
    page,
    settings_columns,
)
from experiments.benchmark.throughput import ratios
from experiments.benchmark.timing import summary
from experiments.core.results import versions
from experiments.core.text import MISSING, decimals, number, number_range, share

TIMES = ("step_ms", "step_ms_min", "step_ms_max", "images_per_second")
COMPARED = ("efficiency", "efficiency_min", "efficiency_max", "speedup")
REDUCED = ("all_reduce_ms", "all_reduce_share")


def make_rows(runs: Sequence, paired: bool) -> list[dict]:
    """A row for every `ScalingRun` that was begun, beside the first of its kind."""
    begun = [run for run in runs if run.startup or run.error]
    return [_row(run, _reference(run, begun), paired) for run in begun]


def step_seconds(run) -> list[float]:
    """Seconds of a step in each round."""
    return [seconds / run.steps for seconds in summary(run.rounds).repeats]


def _row(run, reference, paired: bool) -> dict:
    row = dict(run.case.settings)
    row["image_shape"] = "x".join(map(str, run.counts.image_shape))
    row["parameters"] = run.counts.parameters
    row["gflop_per_image"] = run.counts.flops / run.case.settings["batch_size"] / 1e9
    row |= dict.fromkeys((*TIMES, *COMPARED))
    row["all_reduce_mib"] = run.reduced / MIB
    row |= dict.fromkeys(REDUCED)
    if run.rounds:
        own = step_seconds(run)
        middle = float(np.median(own))
        images = run.case.settings["batch_size"] / middle
        times = (1e3 * middle, 1e3 * min(own), 1e3 * max(own), images)
        row |= zip(TIMES, times, strict=True)
        if reference:
            row |= _compared(run, reference, paired)
    if run.reduce_rounds:
        seconds = float(np.median(summary(run.reduce_rounds).repeats))
        row["all_reduce_ms"] = 1e3 * seconds
        if run.rounds:
            row["all_reduce_share"] = 1e3 * seconds / row["step_ms"]
    row["compile_seconds"] = run.startup and run.startup.compile
    return row | {"error": run.error}


def _compared(run, reference, paired: bool) -> dict:
    own, base = step_seconds(run), step_seconds(reference)
    values = [1.0] * 3 if run is reference else ratios(base, own, paired)
    speedup = values[0] * run.devices / reference.devices
    return dict(zip(COMPARED, (*values, speedup), strict=True))


def _reference(run, runs: Sequence):
    """The same case on the fewest devices, if that has been timed."""
    alike = [r for r in runs if kind(r) == kind(run) and r.rounds]
    return min(alike, key=lambda r: r.devices, default=None)


def kind(run) -> str:
    """The settings that a case shares with itself on other devices."""
    own = ("devices", "batch_size")
    return str({k: v for k, v in run.case.settings.items() if k not in own})


# columns of their own in the table, whatever is swept
OWN = ("devices", "batch_size", "batch_per_device")


class ScalingReport(Report):
    """weak_scaling.json, .csv and .md; `facts` also says how many `cores` there are."""

    name = "weak_scaling"

    def __init__(self, out: Path, runs: Sequence, facts: dict):
        super().__init__(out, facts)
        self._runs, settings = runs, [run.case.settings for run in runs]
        self._constant = [c for c in settings[0] if c not in OWN]
        self._swept = [c for c in varying(settings) if c not in OWN]

    def rows(self) -> list[dict]:
        return make_rows(self._runs, self.facts["interleave"])

    def markdown(self, rows: Sequence[dict]) -> str:
        columns = [
            *settings_columns(self._swept),
            ("devices", lambda r: str(r["devices"])),
            ("global batch", lambda r: str(r["batch_size"])),
            ("step ms", lambda r: number(r["step_ms"])),
            (
                "fastest-slowest",
                lambda r: number_range(r["step_ms_min"], r["step_ms_max"]),
            ),
            ("images/s", lambda r: number(r["images_per_second"])),
            ("efficiency", lambda r: decimals(r["efficiency"], 2, MISSING)),
            ("speedup", lambda r: decimals(r["speedup"], 2, MISSING)),
            ("all-reduce ms", lambda r: number(r["all_reduce_ms"])),
            ("of the step", lambda r: share(r["all_reduce_share"])),
        ]
        failed = [
            f"Failed: {label(row, ['devices', *self._swept])}: {row['error']}"
            for row in rows
            if row["error"]
        ]
        head = f"Weak scaling, {heading(rows, self._constant)}"
        left = len(self._swept)
        return page(head, columns, rows, left, self._notes(rows[0]), *failed)

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

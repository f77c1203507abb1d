"""`benchmark --devices=1,2,4,8`: weak scaling of the training step, and its numbers.

Every device has the same batch, so with perfect scaling a step takes as long on eight
devices as on one.

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

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import jax
import numpy as np
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from experiments.benchmark import loop, requests
from experiments.benchmark.cases import Case, varying
from experiments.benchmark.outputs import (
    CONSTANT,
    Page,
    Report,
    heading,
    make_page,
    two_decimals,
)
from experiments.benchmark.run import MIB, CaseRun
from experiments.benchmark.throughput import begun_row, ratios
from experiments.benchmark.timing import medians, time_round, warm_up
from experiments.benchmark.work import build_work, shapes
from experiments.core.results import spread, versions
from flowjax_ood.interface.environment import cores
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.text import number, number_range, share
from flowjax_ood.runtime.parallel import AXIS, Parallel, mean_in_one
from flowjax_ood.training.state import byte_count

# the columns of a row after its settings
NUMBERS = (
    *("image_shape", "parameters", "gflop_per_image"),
    *("step_ms", "step_ms_min", "step_ms_max", "images_per_second"),
    *("efficiency", "efficiency_min", "efficiency_max", "speedup", "all_reduce_mib"),
    *("all_reduce_ms", "all_reduce_share", "compile_seconds", "error"),
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


@dataclass
class ScalingRun(CaseRun):
    """A case on some of the devices, and their all-reduce by itself."""

    # bytes of gradients and batch statistics, which a step averages
    reduced: int = 0
    reduce_rounds: list[list[float]] = field(default_factory=list)
    reduce: Callable[[], object] | None = None

    @property
    def devices(self) -> int:
        return self.case.settings["devices"]

    def prepare(self) -> None:
        super().prepare()
        if self.devices > 1:
            self.reduce = all_reduce(self.case)
            warm_up(self.reduce)

    def time(self, seconds: float) -> None:
        super().time(seconds)
        if self.reduce:
            # shorter: only its share of the step matters
            self.reduce_rounds.append(time_round(self.reduce, seconds / 4))

    def release(self) -> None:
        super().release()
        self.reduce = None


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark --devices`."""
    cases, facts = cases_on_devices(args, overrides)
    runs = loop.checked(cases, ("devices", *swept_besides(cases)), ScalingRun)
    for run in runs:
        run.reduced = byte_count(_reduced(run.case))
    report = ScalingReport(args.out, runs, facts | {"cores": cores()})
    loop.measure_and_report(runs, report, args)


def cases_on_devices(
    args: argparse.Namespace, overrides: Sequence[str]
) -> tuple[list[Case], dict]:
    """`requests.cases` of training, each on every number of `--devices`."""
    counts = requests.device_counts(args, len(jax.devices()))
    if jax.process_count() > 1:
        raise UserError("--devices measures the devices of one process")
    cases, facts = requests.cases(args, overrides, ["train"])
    return on_devices(cases, counts), facts


def on_devices(cases: Sequence[Case], counts: Sequence[int]) -> list[Case]:
    """Every case on each number of devices: its batch size is that of one device."""
    spread_out = []
    for case in cases:
        for devices in counts:
            config = ConfigDict(case.config.to_dict())
            each = config.train.batch_size
            config.train.batch_size = each * devices
            own = dict(zip(OWN, (devices, each * devices, each), strict=True))
            spread_out.append(Case(case.mode, config, case.settings | own))
    return spread_out


def swept_besides(cases: Sequence[Case]) -> list[str]:
    """The settings that are swept, but for `OWN`."""
    return [c for c in varying([case.settings for case in cases]) if c not in OWN]


def all_reduce(case: Case) -> Callable[[], object]:
    """A function of no arguments that averages one step's gradients over the devices.

    As the training step does in "shard_map": each device has its own, and all of them
    and the batch statistics are one array while they travel.
    """
    parallel = Parallel("shard_map", build_work(case).parallel.devices)
    here = PartitionSpec(AXIS)
    local = partial(mean_in_one, axis_name=AXIS)
    program = jax.jit(
        jax.shard_map(
            local, mesh=parallel.mesh, in_specs=here, out_specs=here, check_vma=False
        )
    )
    devices = len(parallel.devices)
    tree = jax.tree.map(
        lambda a: jax.device_put(np.ones((devices, *a.shape), a.dtype), parallel.split),
        _reduced(case),
    )
    return lambda: program(tree)


def _reduced(case: Case) -> tuple:
    """Shapes of what a step averages, but for its scalar metrics."""
    state = shapes(build_work(case))[0]
    return state.params, state.batch_stats


def make_rows(runs: Sequence, paired: bool) -> list[dict]:
    """A row for every `ScalingRun` that was begun, compared with the first like it."""
    begun = [run for run in runs if run.startup or run.error]
    return [_row(run, _reference(run, begun), paired) for run in begun]


def _row(run, reference, paired: bool) -> dict:
    row = begun_row(run, NUMBERS)
    row["all_reduce_mib"] = run.reduced / MIB
    row["compile_seconds"] = run.startup and run.startup.compile_seconds
    if run.rounds:
        own, base = step_ms(run), step_ms(reference)
        row |= spread("step_ms", own)
        row["images_per_second"] = 1e3 * row["batch_size"] / row["step_ms"]
        paired = paired or run is reference
        row |= ratios("efficiency", base, own, paired)
        row["speedup"] = row["efficiency"] * run.devices / reference.devices
    if run.reduce_rounds:
        row["all_reduce_ms"] = 1e3 * float(np.median(medians(run.reduce_rounds)))
        row["all_reduce_share"] = row["all_reduce_ms"] / row["step_ms"]
    return row


def step_ms(run) -> list[float]:
    """Milliseconds of a training step in each round."""
    return [1e3 * seconds / run.steps for seconds in medians(run.rounds)]


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
        swept = swept_besides([run.case for run in self.runs])
        constant = [c for c in self.runs[0].case.settings if c not in OWN]
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

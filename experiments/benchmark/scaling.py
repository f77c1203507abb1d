"""`benchmark --devices=1,2,4,8`: weak scaling of the training step.

Every device has the same batch, so with perfect scaling a step takes as long on eight
devices as on one. scaling_table.py defines the numbers.
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
from experiments.benchmark.cases import Case, label, varying
from experiments.benchmark.run import CaseRun
from experiments.benchmark.scaling_table import ScalingReport
from experiments.benchmark.timing import time_round, warm_up
from experiments.benchmark.work import Work, build_work, count, shapes
from experiments.core.environment import cores
from experiments.core.errors import UserError
from flowjax_ood.runtime.parallel import AXIS, Parallel, mean_in_one

BATCH = "batch_size"


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
    counts = requests.device_counts(args, len(jax.devices()))
    if jax.process_count() > 1:
        raise UserError("--devices measures the devices of one process")
    cases, facts = requests.cases(args, overrides, ["train"])
    runs = checked(on_devices(cases, counts))
    report = ScalingReport(args.out, runs, facts | {"cores": cores()})
    loop.measure_and_report(runs, report, args)


def on_devices(cases: Sequence[Case], counts: Sequence[int]) -> list[Case]:
    """Every case on each number of devices: its batch size is that of one device."""
    found = []
    for case in cases:
        for devices in counts:
            config = ConfigDict(case.config.to_dict())
            each = config.train.batch_size
            config.train.batch_size = each * devices
            settings = case.settings | {
                "batch_size": each * devices,
                "batch_per_device": each,
                "devices": devices,
            }
            found.append(Case(case.mode, config, settings))
    return found


def checked(cases: Sequence[Case]) -> list[ScalingRun]:
    """Every case built and traced, before any is measured; UserError if one cannot be.

    Arithmetic is counted once for all numbers of devices: it goes by images.
    """
    own = ("devices", BATCH)
    swept = varying([case.settings for case in cases])
    shown = ["devices", *(c for c in swept if c not in own)]
    found, known = [], {}
    for case in cases:
        key = str({k: v for k, v in case.settings.items() if k not in own})
        if key not in known:
            known[key] = case.settings[BATCH], count(case)
        size, counts = known[key]
        counts = counts._replace(flops=counts.flops * case.settings[BATCH] // size)
        reduced = _reduced(build_work(case))
        name = label(case.settings, shown)
        found.append(ScalingRun(case, name, counts, reduced=_bytes(reduced)))
    return found


def all_reduce(case: Case) -> Callable[[], object]:
    """A function of no arguments that averages one step's gradients over the devices.

    As the training step does in "shard_map": each device has its own, and all of them
    and the batch statistics are one array while they travel.
    """
    work = build_work(case)
    spread = Parallel("shard_map", work.parallel.devices)
    here = PartitionSpec(AXIS)
    local = partial(mean_in_one, axis_name=AXIS)
    program = jax.jit(
        jax.shard_map(
            local, mesh=spread.mesh, in_specs=here, out_specs=here, check_vma=False
        )
    )
    devices = len(spread.devices)
    tree = jax.tree.map(
        lambda a: jax.device_put(np.ones((devices, *a.shape), a.dtype), spread.split),
        _reduced(work),
    )
    return lambda: program(tree)


def _reduced(work: Work) -> tuple:
    """Shapes of what a step averages, but for its scalar metrics."""
    state = shapes(work)[0]
    return state.params, state.batch_stats


def _bytes(tree) -> int:
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(tree))

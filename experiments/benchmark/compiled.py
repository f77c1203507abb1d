"""`benchmark --compiled --devices=8,256`: what the compiled step sends and holds.

The training step is compiled for so many devices, and its program is read: no state is
made, so that virtual devices of one CPU stand for those of a pod. The program is that
for CPU. On accelerators XLA joins and overlaps operations, keeps the bfloat16 that a
CPU sums in float32, and makes one reduce-scatter of an all-reduce of which each device
needs a part.

A row has the settings of its case (as in throughput.py; `batch_size` is that of all
devices together), `devices`, `batch_per_device`, `fsdp`, `image_shape`, `parameters`
and `gflop_per_image`, then, of a step and each device:

* `all_reduces`, `all_gathers`, `others`: how many such operations there are, "others"
  being reduce-scatter, all-to-all and collective-permute; `all_reduce_mib`,
  `all_gather_mib`, `others_mib`: the arrays that a device gets from them;
* `state_mib`: of parameters, moments and statistics, without sharding; `argument_mib`:
  what a device holds of them and of its batch; `temporary_mib`: what it needs besides
  while it computes, as XLA allocates on CPU;
* `compile_seconds`, and `error`, null where nothing went wrong.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from experiments.benchmark import loop
from experiments.benchmark.outputs import (
    CONSTANT,
    Page,
    Report,
    heading,
    make_page,
    one_decimal,
)
from experiments.benchmark.run import MIB, CaseRun, compiled
from experiments.benchmark.scaling import OWN, cases_on_devices, swept_besides
from experiments.benchmark.throughput import begun_row
from experiments.benchmark.work import build_work, shapes
from experiments.core.results import versions
from flowjax_ood.analysis.collectives import Collective, collectives
from flowjax_ood.interface.errors import UserError
from flowjax_ood.training.state import byte_count

# kinds with columns of their own, and the name of all others
NAMED = {"all-reduce": "all_reduce", "all-gather": "all_gather"}
OTHERS = "others"
NUMBERS = (
    *("fsdp", "image_shape", "parameters", "gflop_per_image"),
    *("all_reduces", "all_reduce_mib", "all_gathers", "all_gather_mib"),
    *("others", "others_mib"),
    *("state_mib", "argument_mib", "temporary_mib", "compile_seconds", "error"),
)
COLUMNS = (
    ("devices", str, "devices"),
    ("images a device", str, "batch_per_device"),
    ("fsdp", str, "fsdp"),
    ("all-reduces", str, "all_reduces"),
    ("MiB", one_decimal, "all_reduce_mib"),
    ("all-gathers", str, "all_gathers"),
    ("MiB", one_decimal, "all_gather_mib"),
    ("others", str, "others"),
    ("MiB", one_decimal, "others_mib"),
    ("arguments, MiB", one_decimal, "argument_mib"),
    ("temporary, MiB", one_decimal, "temporary_mib"),
)


@dataclass
class CompiledRun(CaseRun):
    """A case whose step is compiled and read, and never run."""

    sent: list[Collective] = field(default_factory=list)
    state_bytes: int = 0

    def prepare(self) -> None:
        """Compile for the devices of the case."""
        work = build_work(self.case)
        state, batch, key = shapes(work)
        self.state_bytes = byte_count(state)
        program = work.parallel.wrap_step(work.fn)
        placed = work.parallel.placed_shapes(state, batch, key)
        self.startup, step = compiled(program, placed)
        self.sent = collectives(step.as_text() or "")


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark --compiled`."""
    cases, facts = cases_on_devices(args, overrides)
    for case in cases:
        if case.config.parallel == "pmap":
            raise UserError(
                "--compiled: pmap compiles as it is called; use jit or shard_map"
            )
        if case.config.train.steps_per_call > 1:
            raise UserError(
                "--compiled reads one step; leave train.steps_per_call at 1"
            )
        if "scan" in case.settings["stack"]:
            raise UserError(
                "--compiled counts an operation inside a loop once; use --stack=chain"
            )
    runs = loop.checked(cases, ("devices", *swept_besides(cases)), CompiledRun)
    untimed = {"seconds": 0.0, "repeats": 0}
    once = argparse.Namespace(**vars(args) | untimed)
    loop.measure_and_report(runs, CompiledReport(args.out, runs, facts | untimed), once)


def make_row(run: CompiledRun) -> dict:
    """The row of a case that was begun."""
    row = begun_row(run, NUMBERS)
    row["fsdp"] = run.case.config.fsdp
    if run.startup is None:
        return row
    for name in (*NAMED.values(), OTHERS):
        own = [c for c in run.sent if NAMED.get(c.kind, OTHERS) == name]
        row[name if name == OTHERS else f"{name}s"] = len(own)
        row[f"{name}_mib"] = sum(c.nbytes for c in own) / MIB
    row["state_mib"] = run.state_bytes / MIB
    for name in ("argument_mib", "temporary_mib", "compile_seconds"):
        row[name] = getattr(run.startup, name)
    return row


class CompiledReport(Report):
    """compiled_step.json, .csv and .md."""

    name = "compiled_step"

    def rows(self) -> list[dict]:
        return [make_row(run) for run in self.runs if run.startup or run.error]

    def page(self, rows: Sequence[dict]) -> Page:
        named_by = ["devices", *swept_besides([run.case for run in self.runs])]
        swept = [c for c in named_by[1:] if c != "fsdp"]
        constant = [c for c in self.runs[0].case.settings if c not in OWN]
        head = f"The compiled step, {heading(rows, (*constant, *CONSTANT))}"
        note = (
            f"Compiled for {versions()['device']}, and not run. Of a step and each "
            "device: operations among devices, and the arrays that it gets from them; "
            "what it holds before the step, and what it needs besides."
        )
        return make_page(rows, swept, COLUMNS, head, note, named_by=named_by)

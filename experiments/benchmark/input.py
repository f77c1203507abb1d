"""`benchmark --data`: does the input keep up with the training step?

Measures the config's own input pipeline on this host alone: from its real images, in
memory or streamed, to batches in memory, with which nothing is computed. Compared
with the images a second that the training step takes, measured in the same run on the
devices here, or given by --need.

A row has the settings of its case (`set`, `source`, `held` in memory or streamed,
`batch_size`, `read_ahead`, `read_threads`, `read_workers`, and every key given to
--vary), then:

* `image_shape`, and `images`, how many there are;
* `input_images_per_second`: batches are ready for the step at this rate, by this host
  alone while it computes nothing else; median, `_min` and `_max` over the repeats;
* `input_images_per_core_second`: images by a second that one core computes, whichever
  process or thread has it, so a busy machine hardly changes it; null where a system
  does not say what its processes compute;
* `step_images_per_second`: what the training step takes, of images that are already on
  the devices;
* `ratio`: input by step. Below 1, `bottleneck` is true: devices wait for images;
* `cores_needed`: those that reading at the step's rate keeps busy.
"""

import argparse
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.benchmark import requests
from experiments.benchmark.cases import Case, short, varying
from experiments.benchmark.outputs import Page, Report, heading, make_page
from experiments.benchmark.run import CaseRun
from experiments.benchmark.throughput import rates
from experiments.core import build
from experiments.core.keys import Kind, flatten, kind, names
from experiments.core.loaders import load_train
from experiments.core.results import spread, versions
from experiments.core.sets import Sets
from flowjax_ood.data.sets import StoredSet
from flowjax_ood.interface.environment import cores
from flowjax_ood.interface.errors import UserError
from flowjax_ood.interface.text import number
from flowjax_ood.training.feed import Feed, Prefetch

# how images are read, of which a step knows nothing; but for the first, neither does
# the set
READING = names("reading")
INPUT = "input_images_per_second"
# the table's columns after what is swept
COLUMNS = (
    ("input images/s", number, INPUT),
    ("slowest", number, f"{INPUT}_min"),
    ("fastest", number, f"{INPUT}_max"),
    ("images/s of a core", number, "input_images_per_core_second"),
    ("step takes images/s", number, "step_images_per_second"),
    ("ratio", number, "ratio"),
    ("cores needed", number, "cores_needed"),
)


class Round(NamedTuple):
    """Images that were taken, in how many seconds, of how many seconds of cores."""

    images: int
    seconds: float
    work: float | None


@dataclass
class Reading:
    """A case of reading images, and what has been measured of it so far."""

    case: Case
    images: StoredSet
    options: Prefetch
    rounds: list[Round] = field(default_factory=list)
    # images a second of the step
    need: float = math.nan

    @property
    def settings(self) -> dict:
        """The settings of the case."""
        config, ahead = self.case.config, self.options.ahead
        known = {
            "set": config.data.train,
            "source": config.data.source,
            "held": "streamed" if config.data.streaming else "in memory",
            "batch_size": config.train.batch_size,
            "read_ahead": ahead,
            # no thread reads where nothing is read ahead
            "read_threads": self.options.threads if ahead else 0,
            "read_workers": self.options.workers,
        }
        # `held` says whether they are streamed
        said = {"data.streaming", *(f"data.{name}" for name in known)}
        varied = {k: v for k, v in self.case.settings.items() if "." in k}
        return known | {k: v for k, v in varied.items() if k not in said}

    @property
    def rates(self) -> list[float]:
        """Images a second of each round."""
        return [r.images / r.seconds for r in self.rounds]


def make_rows(readings: Sequence[Reading]) -> list[dict]:
    """A row for every case that has been timed."""
    return [_row(reading) for reading in readings if reading.rounds]


def _row(reading: Reading) -> dict:
    by_core, each = None, [r.images / r.work for r in reading.rounds if r.work]
    if len(each) == len(reading.rounds):
        by_core = statistics.median(each)
    rates = spread(INPUT, reading.rates)
    return {
        **reading.settings,
        "image_shape": "x".join(map(str, reading.images.events.shape[1:])),
        "images": len(reading.images),
        **rates,
        "input_images_per_core_second": by_core,
        "step_images_per_second": reading.need,
        "ratio": rates[INPUT] / reading.need,
        "bottleneck": rates[INPUT] < reading.need,
        "cores_needed": by_core and reading.need / by_core,
    }


def verdict(reading: Reading) -> str:
    """In words: whether devices wait for images."""
    row = _row(reading)
    keys = (INPUT, "ratio", "step_images_per_second")
    rate, ratio, need = (number(row[key]) for key in keys)
    if row["bottleneck"]:
        said, times = "INPUT IS THE BOTTLENECK", "of"
    else:
        said, times = "the input keeps up", "times"
    return f"{said}: {rate} images/s, {ratio} {times} the {need} that the step takes"


class InputReport(Report):
    """benchmark_data.json, .csv and .md; `facts` also says what `need_is`."""

    name = "benchmark_data"

    def rows(self) -> list[dict]:
        return make_rows(self.runs)

    @property
    def _swept(self) -> list[str]:
        return varying([reading.settings for reading in self.runs])

    def label(self, reading: Reading) -> str:
        """A case in a few words, by what tells it from the others."""
        shown = [f"{short(c)} {reading.settings[c]}" for c in self._swept]
        return ", ".join(shown) or reading.settings["set"]

    def page(self, rows: Sequence[dict]) -> Page:
        verdicts = [
            f"* {self.label(reading)}: {verdict(reading)}"
            for reading in self.runs
            if reading.rounds
        ]
        notes = (
            f"{self.facts['cores']} cores; {self.timed()}: median, slowest and fastest."
            f" What the step takes is {self.facts['need_is']} "
            f"({versions()['device']})."
        )
        head = heading(rows, ("set", "source", "held", "images", "batch_size"))
        return make_page(rows, self._swept, COLUMNS, head, "\n".join(verdicts), notes)


def command(args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Run `benchmark --data`."""
    cases, facts = requests.cases(args, overrides, ["train"])
    readings = with_sets(cases)
    facts["cores"] = cores()
    facts["need_is"] = "given" if args.need else "measured on the devices here"
    report = InputReport(args.out, readings, facts)
    rate_of = {}
    for reading in readings:
        key = _key(reading.case.config, READING)
        if key not in rate_of:
            rate_of[key] = args.need or step_rate(reading.case, args)
        reading.need = rate_of[key]
    measure(readings, report, args)
    report.close(finished=True)


def with_sets(cases: Sequence[Case]) -> list[Reading]:
    """Every case with its images; sets in memory are read once for all cases.

    Raises UserError for a config whose input is not that of a flow on images.
    """
    for config in (case.config for case in cases):
        if kind(config) is not Kind.IMAGES:
            raise UserError(
                "--data measures how flows are given images, and nothing else"
            )
        if config.train.negative:
            raise UserError(
                "--data measures one set, and config.train.negative is a second: leave "
                "it out"
            )
    sets, readings = {}, []
    for case in cases:
        options = build.prefetch(case.config)
        key = _key(case.config, READING[1:], ("data", "seed"))
        if key not in sets:
            sets[key] = load_train(case.config)
        readings.append(Reading(case, sets[key], options))
    return readings


def step_rate(case: Case, args: argparse.Namespace) -> float:
    """Images a second of the training step, on images that are on the devices."""
    run = CaseRun(case, "", None)
    print("training step: compiling", flush=True)
    run.prepare()
    for _ in range(args.repeats):
        run.time(args.seconds)
    run.release()
    return statistics.median(rates(run))


def measure(
    readings: Sequence[Reading], report: InputReport, args: argparse.Namespace
) -> None:
    """Time all of them: one after the other, or by turns."""
    for group in [readings] if args.interleave else [[reading] for reading in readings]:
        with ExitStack() as opened:
            turns = []
            for reading in group:
                sets = Sets(reading.images, reading.images, {})
                batches = build.batches(reading.case.config, sets)
                feed = Feed(batches, 0, reading.options)
                turns.append((reading, opened.enter_context(feed)))
            for at in range(args.repeats):
                # there and back: what drifts meanwhile is shared
                for reading, feed in turns if at % 2 == 0 else reversed(turns):
                    reading.rounds.append(time_feed(feed, reading, args.seconds))
                report.write()
        for reading in group:
            print(f"{report.label(reading)}: {verdict(reading)}", flush=True)


def time_feed(feed: Feed, reading: Reading, seconds: float) -> Round:
    """Batches taken one after another, until `seconds` are over.

    Batches that were read ahead of the first request are taken before.
    """
    feed.take(1 + 2 * reading.options.ahead + reading.options.workers)
    work, began, taken = processor_seconds(), time.perf_counter(), 0
    while not taken or time.perf_counter() - began < seconds:
        feed.take(1)
        taken += 1
    wall = time.perf_counter() - began
    after = processor_seconds()
    work = None if work is None or after is None else after - work
    return Round(taken * reading.case.config.train.batch_size, wall, work)


def processor_seconds() -> float | None:
    """Seconds of cores used by this process and its workers; None if not known."""
    seconds = time.process_time()
    for worker in multiprocessing.active_children():
        try:
            stat = Path(f"/proc/{worker.pid}/stat").read_text()
        except OSError:
            return None
        # after the name, which may hold anything: fields 14 and 15
        user, system = stat.rpartition(")")[2].split()[11:13]
        seconds += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


def _key(config: ConfigDict, but: Sequence[str], sections: Sequence[str] = ()) -> str:
    """All of a config (or of some sections) but some keys, to know it again."""
    kept = {k: v for k, v in flatten(config).items() if k not in but}
    if sections:
        kept = {k: v for k, v in kept.items() if k.split(".")[0] in sections}
    return str(kept)

"""The numbers of `benchmark --data`, and how each follows from measured times.

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

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from experiments.benchmark.cases import Case, short, varying
from experiments.benchmark.outputs import Report, page
from experiments.core.results import versions
from experiments.core.text import number
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.streaming import StreamedImageSet
from flowjax_ood.training.feed import Prefetch


class Round(NamedTuple):
    """Images that were taken, in how many seconds, of how many seconds of cores."""

    images: int
    seconds: float
    work: float | None


@dataclass
class Reading:
    """A case of reading images, and what has been measured of it so far."""

    case: Case
    images: ImageSet | StreamedImageSet
    options: Prefetch
    rounds: list[Round] = field(default_factory=list)
    # images a second of the step
    need: float = math.nan

    @property
    def settings(self) -> dict:
        """The settings of the case."""
        config, plain = self.case.config, self.case.settings
        ahead = self.options.ahead
        found = {
            "set": config.data.train,
            "source": config.data.source,
            "held": "streamed" if config.data.streaming else "in memory",
            "batch_size": config.train.batch_size,
            "read_ahead": ahead,
            # no thread reads where nothing is read ahead
            "read_threads": self.options.threads if ahead else 0,
            "read_workers": self.options.workers,
        }
        varied = {k: v for k, v in plain.items() if "." in k}
        said = {key for key in varied if key.removeprefix("data.") in found}
        # `held` says that
        said.add("data.streaming")
        return found | {k: v for k, v in varied.items() if k not in said}

    @property
    def rate(self) -> float:
        """Images a second: the median over the rounds."""
        return statistics.median(self.rates)

    @property
    def rates(self) -> list[float]:
        """Images a second of each round."""
        return [r.images / r.seconds for r in self.rounds]


def make_rows(readings: Sequence[Reading]) -> list[dict]:
    """A row for every case that has been timed."""
    return [_row(reading) for reading in readings if reading.rounds]


def verdict(reading: Reading) -> str:
    """In words: whether devices wait for images."""
    rate, need, ratio = map(
        number, (reading.rate, reading.need, reading.rate / reading.need)
    )
    if reading.rate < reading.need:
        return (
            f"INPUT IS THE BOTTLENECK: {rate} images/s, {ratio} of the {need} that the "
            "step takes"
        )
    return (
        f"the input keeps up: {rate} images/s, {ratio} times the {need} that the step "
        "takes"
    )


def _row(reading: Reading) -> dict:
    by_core = None
    if all(r.work for r in reading.rounds):
        by_core = statistics.median(r.images / r.work for r in reading.rounds)
    return reading.settings | {
        "image_shape": "x".join(map(str, reading.images.images.shape[1:])),
        "images": len(reading.images),
        "input_images_per_second": reading.rate,
        "input_images_per_second_min": min(reading.rates),
        "input_images_per_second_max": max(reading.rates),
        "input_images_per_core_second": by_core,
        "step_images_per_second": reading.need,
        "ratio": reading.rate / reading.need,
        "bottleneck": reading.rate < reading.need,
        "cores_needed": by_core and reading.need / by_core,
    }


class InputReport(Report):
    """benchmark_data.json, .csv and .md; `facts` also says what `need_is`."""

    name = "benchmark_data"

    def __init__(self, out: Path, readings: Sequence[Reading], facts: dict):
        super().__init__(out, facts)
        self._readings = readings
        self._swept = varying([reading.settings for reading in readings])

    def rows(self) -> list[dict]:
        return make_rows(self._readings)

    def label(self, reading: Reading) -> str:
        """A case in a few words, by what tells it from the others."""
        settings = reading.settings
        shown = [f"{short(c).replace('_', ' ')} {settings[c]}" for c in self._swept]
        return ", ".join(shown) or settings["set"]

    def markdown(self, rows: Sequence[dict]) -> str:
        columns = [
            (short(c).replace("_", " "), lambda r, c=c: str(r[c])) for c in self._swept
        ]
        columns += [
            (name, lambda r, key=key: number(r[key]))
            for name, key in (
                ("input images/s", "input_images_per_second"),
                ("slowest", "input_images_per_second_min"),
                ("fastest", "input_images_per_second_max"),
                ("images/s of a core", "input_images_per_core_second"),
                ("step takes images/s", "step_images_per_second"),
                ("ratio", "ratio"),
                ("cores needed", "cores_needed"),
            )
        ]
        verdicts = [
            f"* {self.label(reading)}: {verdict(reading)}"
            for reading in self._readings
            if reading.rounds
        ]
        notes = (
            f"{self.facts['cores']} cores; {self.timed()}: median, slowest and fastest."
            f" What the step takes is {self.facts['need_is']} "
            f"({versions()['device']})."
        )
        left = len(self._swept)
        return page(
            self._heading(rows[0]), columns, rows, left, "\n".join(verdicts), notes
        )

    def _heading(self, row: dict) -> str:
        shown = [row["set"], f"source {row['source']}", row["held"]]
        names = ("set", "source", "held")
        parts = [v for n, v in zip(names, shown) if n not in self._swept]
        parts.append(f"{row['images']:,} images {row['image_shape']}")
        if "batch_size" not in self._swept:
            parts.append(f"batch {row['batch_size']}")
        return ", ".join(parts)

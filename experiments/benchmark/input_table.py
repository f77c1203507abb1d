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
from typing import NamedTuple

from experiments.benchmark.cases import Case, short, varying
from experiments.benchmark.outputs import Page, Report, heading, make_page
from experiments.benchmark.timing import spread
from experiments.core.results import versions
from experiments.core.text import number
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.streaming import StreamedImageSet
from flowjax_ood.training.feed import Prefetch

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
    images: ImageSet | StreamedImageSet
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
    by_core = None
    if all(r.work for r in reading.rounds):
        by_core = statistics.median(r.images / r.work for r in reading.rounds)
    rates = spread(INPUT, reading.rates)
    return {
        **reading.settings,
        "image_shape": "x".join(map(str, reading.images.images.shape[1:])),
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
    rate, need, ratio = map(
        number, (row[INPUT], row["step_images_per_second"], row["ratio"])
    )
    if row["bottleneck"]:
        return (
            f"INPUT IS THE BOTTLENECK: {rate} images/s, {ratio} of the {need} that the "
            "step takes"
        )
    return (
        f"the input keeps up: {rate} images/s, {ratio} times the {need} that the step "
        "takes"
    )


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

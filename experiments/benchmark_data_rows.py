"""The numbers of `benchmark --data`: what each is, and how it follows from the times.

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

from experiments.benchmark_cases import Case
from experiments.benchmark_table import number
from flowjax_ood.data.image_set import ImageSet
from flowjax_ood.data.streamed_set import StreamedImageSet


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
    options: dict[str, int]
    rounds: list[Round] = field(default_factory=list)
    # images a second of the step
    need: float = math.nan

    @property
    def settings(self) -> dict:
        """What tells it from others."""
        config, plain = self.case.config, self.case.settings
        ahead = self.options["ahead"]
        found = {
            "set": config.data.train,
            "source": config.data.source,
            "held": "streamed" if config.data.streaming else "in memory",
            "batch_size": config.train.batch_size,
            "read_ahead": ahead,
            # nobody else reads where nothing is read ahead
            "read_threads": self.options["threads"] if ahead else 0,
            "read_workers": self.options["workers"],
        }
        varied = {k: v for k, v in plain.items() if "." in k}
        said = {key for key in varied if key.removeprefix("data.") in found}
        # what `held` says
        said.add("data.streaming")
        return found | {k: v for k, v in varied.items() if k not in said}

    @property
    def rate(self) -> float:
        """Images a second: the median over the rounds."""
        return statistics.median(self.rates)

    @property
    def rates(self) -> list[float]:
        """Images a second of each round."""
        return [one.images / one.seconds for one in self.rounds]


def make_rows(readings: Sequence[Reading]) -> list[dict]:
    """A row for every case that has been timed."""
    return [_row(one) for one in readings if one.rounds]


def verdict(one: Reading) -> str:
    """In words: whether devices wait for images."""
    rate, need, ratio = map(number, (one.rate, one.need, one.rate / one.need))
    if one.rate < one.need:
        return (
            f"INPUT IS THE BOTTLENECK: {rate} images/s, {ratio} of the {need} that the "
            "step takes"
        )
    return (
        f"the input keeps up: {rate} images/s, {ratio} times the {need} that the step "
        "takes"
    )


def _row(one: Reading) -> dict:
    by_core = None
    if all(r.work for r in one.rounds):
        by_core = statistics.median(r.images / r.work for r in one.rounds)
    return one.settings | {
        "image_shape": "x".join(map(str, one.images.images.shape[1:])),
        "images": len(one.images),
        "input_images_per_second": one.rate,
        "input_images_per_second_min": min(one.rates),
        "input_images_per_second_max": max(one.rates),
        "input_images_per_core_second": by_core,
        "step_images_per_second": one.need,
        "ratio": one.rate / one.need,
        "bottleneck": one.rate < one.need,
        "cores_needed": by_core and one.need / by_core,
    }

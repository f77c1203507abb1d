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
from pathlib import Path
from typing import NamedTuple

from experiments.benchmark.cases import Case, short, varying
from experiments.benchmark.outputs import Files
from experiments.core.results import versions
from experiments.core.text import markdown_lines, number
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.streaming import StreamedImageSet


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


NAME = "benchmark_data"


class DataReport:
    """`NAME.json`, `.csv` and `.md` in `out`, written anew after every round.

    `facts`: what else the JSON says of all rows, at least how they were timed
    (`seconds`, `repeats`, `interleave`) and what `need_is`. Raises UserError where
    nothing can be written in `out`.
    """

    def __init__(self, out: Path, readings: Sequence[Reading], facts: dict):
        self._out, self._readings, self._facts = out, readings, facts
        self._swept = varying([one.settings for one in readings])
        self._files = Files(out, NAME)

    def name(self, one: Reading) -> str:
        """What tells a case from the others, in a few words."""
        settings = one.settings
        shown = [f"{short(c).replace('_', ' ')} {settings[c]}" for c in self._swept]
        return ", ".join(shown) or settings["set"]

    def write(self, finished: bool = False) -> None:
        """Write what has been measured so far."""
        rows = make_rows(self._readings)
        content = {**self._facts, "finished": finished, "rows": rows}
        self._files.write(content, self._markdown(rows))

    def close(self) -> None:
        """Write everything, and print the table."""
        self.write(finished=True)
        print(self._markdown(make_rows(self._readings)), end="")
        print(f"{NAME}.json, .csv and .md are in {self._out}")

    def _markdown(self, rows: Sequence[dict]) -> str:
        columns = [
            *((short(c).replace("_", " "), c) for c in self._swept),
            ("input images/s", "input_images_per_second"),
            ("slowest", "input_images_per_second_min"),
            ("fastest", "input_images_per_second_max"),
            ("images/s of a core", "input_images_per_core_second"),
            ("step takes images/s", "step_images_per_second"),
            ("ratio", "ratio"),
            ("cores needed", "cores_needed"),
        ]
        left = len(self._swept)
        cells = [[_cell(row[c]) for _, c in columns] for row in rows]
        head = [name for name, _ in columns]
        lines = [self._heading(rows[0]) + ":", ""]
        lines += markdown_lines(head, cells, left)
        lines += [""] + [
            f"* {self.name(one)}: {verdict(one)}"
            for one in self._readings
            if one.rounds
        ]
        facts = self._facts
        turns = " by turns" if facts["interleave"] else ""
        lines += [
            "",
            f"{facts['cores']} cores; {facts['repeats']} repeats of "
            f"{facts['seconds']:g} s each{turns}: median, slowest and fastest. What "
            f"the step takes is {facts['need_is']} ({versions()['device']}).",
        ]
        return "\n".join(lines) + "\n"

    def _heading(self, row: dict) -> str:
        shown = [row["set"], f"source {row['source']}", row["held"]]
        names = ("set", "source", "held")
        parts = [v for n, v in zip(names, shown) if n not in self._swept]
        parts.append(f"{row['images']:,} images {row['image_shape']}")
        if "batch_size" not in self._swept:
            parts.append(f"batch {row['batch_size']}")
        return ", ".join(parts)


def _cell(value) -> str:
    if isinstance(value, float) or value is None:
        return number(value)
    return str(value)

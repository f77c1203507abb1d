"""Source `embedded`: samples shipped inside the package, for a machine with no data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.sources import emoji
from flowjax_ood.data.sources.idx import LICENCES, decode_idx
from flowjax_ood.data.sources.shipped import DIRECTORY, read_checked


@dataclass(frozen=True)
class Part:
    """A shipped split: images `start ... start + count - 1` of an IDX source's split.

    `story` says so in words.
    """

    name: str
    split: str
    taken_from: str
    start: int
    count: int
    story: str

    def file(self, kind: str) -> str:
        """Return the file name of the part's `"images"` or `"labels"`."""
        rank = {"images": 3, "labels": 1}[kind]
        prefix = self.name.replace("_", "-")
        return f"{prefix}-{self.split}-{kind}-idx{rank}-ubyte.xz"


_TRAINING_DIGITS = (
    "of a shuffle of the first 10,000 MNIST training digits, not of the official "
    "test split"
)
PARTS = (
    Part(
        "fashion_mnist",
        "train",
        taken_from="train",
        start=0,
        count=10_000,
        story="FashionMNIST, the first 10,000 training images",
    ),
    Part(
        "fashion_mnist",
        "test",
        taken_from="test",
        start=0,
        count=2_000,
        story="FashionMNIST, the first 2,000 test images",
    ),
    Part(
        "mnist",
        "test",
        taken_from="train10k",
        start=0,
        count=2_000,
        story=f"MNIST, digits 0 to 1,999 {_TRAINING_DIGITS}",
    ),
    Part(
        "mnist",
        "train",
        taken_from="train10k",
        start=2_000,
        count=4_000,
        story=f"MNIST, digits 2,000 to 5,999 {_TRAINING_DIGITS}",
    ),
)


def load_embedded(name: str, split: str, directory: Path = DIRECTORY) -> ImageSet:
    """Load the shipped sample `name:split`: `[N, 28, 28, 1]` with labels, or emoji.

    `fashion_mnist`: train 10,000, test 2,000. `mnist`: train 4,000, test 2,000, both
    from the training digits and disjoint. `emoji`: see `emoji.load_emoji`. Every file
    is checked against `SHA256SUMS` as it is read; one that differs is an error.
    """
    if name == emoji.NAME:
        return emoji.load_emoji(split, directory)
    part = _part(name, split)
    images = _read(directory, part.file("images"), rank=3)[..., None]
    labels = _read(directory, part.file("labels"), rank=1).astype(np.int32)
    licence = LICENCES[name.replace("_", "")]
    origin = f"{part.story}; shipped with flowjax_ood; {licence}"
    return ImageSet(name, split, images, labels, "embedded", origin)


def _part(name: str, split: str) -> Part:
    names = {emoji.NAME, *(part.name for part in PARTS)}
    if name not in names:
        raise unknown(
            "an embedded data set",
            name,
            names,
            "other sets come from source 'idx', 'npz' or 'tfds'",
        )
    splits = {part.split: part for part in PARTS if part.name == name}
    if split not in splits:
        raise unknown(f"a split of embedded {name!r}", split, splits)
    return splits[split]


def _read(directory: Path, name: str, rank: int) -> np.ndarray:
    return decode_idx(read_checked(directory, name), rank, directory / name)

"""Negative training: the images of `config.train.negative`, to be unlikely."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from ml_collections import ConfigDict

from experiments.core.loaders import load_images
from flowjax_ood.data.checks import among
from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.sets import ImageSet, StoredSet
from flowjax_ood.data.splits import Whole
from flowjax_ood.interface.errors import UserError


def load_negatives(config: ConfigDict) -> ImageSet | None:
    """Load the images to push down: of `negative_classes` classes, 0 being all.

    None without negative training.
    """
    # classifiers have no such key
    if not config.train.get("negative"):
        return None
    c = config.data
    images = load_images(config, config.train.negative, c.limit_train, c.source, c.path)
    return _by_class(images, config.train.negative_classes)[0]


def check_apart(
    negative: ImageSet, train: StoredSet, scored: Mapping[str, StoredSet]
) -> None:
    """Raise UserError where over 1 % of the images learned or scored are negatives.

    Sets of different names or sources can be the same images. (1 %: real sets hold some
    images in both splits.)
    """
    common = count_common(train.events, negative.images)
    if common > len(train) / 100:
        raise UserError(
            f"{common} of the {len(train)} images to learn are among the negatives, "
            f"{negative.name}:{negative.split}; the flow cannot find them likely and "
            "unlikely"
        )
    for name, images in scored.items():
        common = count_common(images.events, negative.images)
        if common > len(images) / 100:
            raise UserError(
                f"{common} of the {len(images)} images of {name} that are scored are "
                f"among the negatives, {negative.name}:{negative.split}; score images "
                "that the flow was not exposed to"
            )


def count_common(images: np.ndarray, others: np.ndarray) -> int:
    """Count the images, byte for byte, that are among the others."""
    return int(among(images, others).sum())


def exposed(
    config: ConfigDict, ood: dict[str, StoredSet]
) -> tuple[dict[str, StoredSet], tuple[str, ...]]:
    """`(OOD sets, names of those the flow is trained against)`.

    These are the sets that go by the negatives' name. Where the negatives are some
    classes alone, such a set becomes two: those classes, and all others.
    """
    c = config.train
    if not c.get("negative"):
        return ood, ()
    negative, _ = parse_spec(c.negative)
    sets: dict[str, StoredSet] = {}
    names: list[str] = []
    for name, images in ood.items():
        if images.name != negative:
            sets[name] = images
            continue
        parts = _by_class(images, c.negative_classes)
        named = {f"{name}{part.name.removeprefix(negative)}": part for part in parts}
        sets |= named
        names.append(next(iter(named)))
    return sets, tuple(names)


def _by_class(images: Whole, count: int) -> tuple[Whole, ...]:
    """The images of classes 0 to `count` - 1, and all others; count 0 takes all."""
    if not count:
        return (images,)
    what = f"{images.name}:{images.split}"
    if images.labels is None:
        raise UserError(
            f"config.train.negative_classes needs labels, and {what} has none; set it "
            "to 0 to tell of all classes"
        )
    last = int(images.labels.max())
    first = images.labels < count
    if first.all() or not first.any():
        raise UserError(
            f"config.train.negative_classes is {count}, but {what} has the classes "
            f"{images.labels.min()} to {last}: some must be below it, and some not"
        )

    def part(which: np.ndarray, low: int, high: int) -> Whole:
        label = f"classes {low}-{high}" if low < high else f"class {low}"
        return replace(images.at(which).noted(label), name=f"{images.name} {label}")

    return part(first, 0, count - 1), part(~first, count, last)

"""What a flow is told to find unlikely: the images of `config.train.negative`."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from ml_collections import ConfigDict

from experiments.core.errors import UserError
from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.sets import ImageSet


def load_negatives(
    config: ConfigDict, load: Callable[[str, int], ImageSet]
) -> ImageSet | None:
    """The images to push down, by `load(spec, limit)`; None where there are none.

    Of `negative_classes` classes alone, where that is not 0. Raises UserError for a set
    that the flow also learns or is scored on, and ValueError for an impossible spec.
    """
    c = config.train
    # classifiers have no such key
    if not c.get("negative"):
        if c.get("negative_classes"):
            raise UserError(
                f"config.train.negative_classes is {c.negative_classes}, but no set is "
                "told of; set config.train.negative, such as mnist:train"
            )
        return None
    own = parse_spec(c.negative)
    scored = {"train": config.data.train, "test": config.data.test}
    scored |= {f"ood ({spec})": spec for spec in config.data.ood}
    for key, spec in scored.items():
        if parse_spec(spec) == own:
            raise UserError(
                f"config.train.negative and config.data.{key} are the same images, "
                f"{spec!r}; a flow is told of other images than those it learns or is "
                "scored on"
            )
    images = load(c.negative, config.data.limit_train)
    told, _ = _by_class(images, c.negative_classes)
    return told


def check_apart(
    negative: ImageSet, train: ImageSet, scored: dict[str, ImageSet]
) -> None:
    """Raise UserError where more than one in a hundred images is a negative, too.

    Of those to learn, or of those scored: sets of different names or sources can be the
    same images. (One in a hundred: real sets hold some images in both splits.)
    """
    known = {image.tobytes() for image in negative.images}
    found = sum(image.tobytes() in known for image in train.images)
    if found > len(train) / 100:
        raise UserError(
            f"{found} of the {len(train)} images to learn are among the negatives, "
            f"{negative.name}:{negative.split}; the flow cannot find them likely and "
            "unlikely"
        )
    for name, images in scored.items():
        found = sum(image.tobytes() in known for image in images.images)
        if found > len(images) / 100:
            raise UserError(
                f"{found} of the {len(images)} images of {name} that are scored are "
                f"among the negatives, {negative.name}:{negative.split}; score images "
                "that the flow was not told of"
            )


def told_and_untold(
    config: ConfigDict, ood: dict[str, ImageSet]
) -> tuple[dict[str, ImageSet], tuple[str, ...]]:
    """`(OOD sets, names of those the flow is told of)`.

    Told of are the sets that go by the negatives' name. Where it is told of some
    classes alone, such a set becomes two: those classes, and all others.
    """
    c = config.train
    if not c.get("negative"):
        return ood, ()
    told_name, _ = parse_spec(c.negative)
    found, told = {}, []
    for name, images in ood.items():
        if images.name != told_name:
            found[name] = images
            continue
        parts = [images]
        if c.negative_classes:
            parts = _by_class(images, c.negative_classes)
        names = [f"{name}{part.name.removeprefix(told_name)}" for part in parts]
        found |= dict(zip(names, parts))
        told.append(names[0])
    return found, tuple(told)


def _by_class(images: ImageSet, count: int) -> tuple[ImageSet, ImageSet | None]:
    """The images of classes 0 to `count` - 1, and all others; count 0 takes all."""
    if not count:
        return images, None
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

    def part(which: np.ndarray, low: int, high: int) -> ImageSet:
        label = f"classes {low}-{high}" if low < high else f"class {low}"
        return replace(
            images,
            name=f"{images.name} {label}",
            images=images.images[which],
            labels=images.labels[which],
            origin=f"{images.origin}; {label}",
        )

    return part(first, 0, count - 1), part(~first, count, last)

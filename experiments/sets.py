"""The sets an experiment trains on and scores, loaded and checked together."""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.checks import check_numbers
from experiments.config import UserError
from flowjax_ood import data
from flowjax_ood.data.image_set import ImageSet
from flowjax_ood.data.loading import parse_spec


class Sets(NamedTuple):
    """The image sets of an experiment; `ood` by the name they are reported under."""

    train: ImageSet
    test: ImageSet
    ood: dict[str, ImageSet]


def ood_names(test: str, ood: Sequence[str]) -> list[str]:
    """What each set of `ood` is reported under: its name, all different.

    The split is part of it only where the name alone would be taken, by another split
    of the same set or by the roles "train" and "test".
    """
    if not ood:
        raise UserError(
            "config.data.ood names no set; give at least one, such as "
            "--config.data.ood=mnist:test"
        )
    try:
        own, parsed = parse_spec(test), [parse_spec(spec) for spec in ood]
    except (ValueError, TypeError) as error:
        raise UserError(f"config.data: {error}") from error
    for spec, pair in zip(ood, parsed):
        if pair == own:
            raise UserError(f"config.data.ood holds the test set itself, {spec!r}")
        if parsed.count(pair) > 1:
            raise UserError(f"config.data.ood holds {spec!r} more than once")
    taken = [name for name, _ in (own, *parsed)] + ["train", "test"]
    return [n if taken.count(n) == 1 else f"{n}:{split}" for n, split in parsed]


def load_sets(config: ConfigDict) -> Sets:
    """Load and cross-check the sets. Raises UserError naming the remedy."""
    check_numbers(config)
    c = config.data
    names = ood_names(c.test, c.ood)

    def load(spec, limit):
        return data.load(
            spec,
            source=c.source,
            path=c.path or None,
            limit=limit or None,
            image_size=c.image_size or None,
            seed=config.seed,
        )

    try:
        train, test = load(c.train, c.limit_train), load(c.test, c.limit_test)
        ood = {n: load(spec, c.limit_test) for n, spec in zip(names, c.ood)}
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UserError(f"config.data: {error}") from error
    shape = train.images.shape[1:]
    for image_set in (test, *ood.values()):
        found = image_set.images.shape[1:]
        if found != shape:
            raise UserError(
                f"{image_set.name}:{image_set.split} has images of shape {found}, the "
                f"training set {shape}; set config.data.image_size, or compare sets "
                "with the same number of channels"
            )
    return Sets(train, test, ood)

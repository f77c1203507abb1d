"""The sets an experiment trains on and scores, loaded and checked together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.checks import (
    check_detect,
    check_numbers,
    check_streaming,
    check_validation,
    refuse_for_vectors,
)
from experiments.core.errors import UserError, user_errors
from experiments.core.keys import of_vectors
from experiments.core.negatives import check_apart, load_negatives, told_and_untold
from experiments.core.token_sets import load_token_sets, of_tokens
from experiments.core.vector_sets import load_vector_sets
from experiments.core.workdir import sampled_rows
from flowjax_ood import data
from flowjax_ood.data.loading import parse_spec
from flowjax_ood.data.preprocess import altered
from flowjax_ood.data.sets import ImageSet, TokenSet, VectorSet
from flowjax_ood.data.splits import hold_back
from flowjax_ood.data.standardize import Standardizer
from flowjax_ood.data.streaming import StreamedImageSet, stream

# an entry of ood_source or ood_path: as for training
SAME = "-"


class Sets(NamedTuple):
    """The sets of an experiment; `ood` by the name they are reported under.

    All are of images, or all of vectors, or all of tokens. Those of vectors are kept as
    they came, and standardised on their way to the flow. Images to train on may be
    streamed: what indexes them reads them. `validation` is held back from what is to be
    learned, to choose the best state by; what is told of as unlikely is no part of it.
    """

    train: ImageSet | StreamedImageSet | VectorSet | TokenSet
    test: ImageSet | VectorSet | TokenSet
    ood: dict[str, ImageSet | VectorSet | TokenSet]
    validation: ImageSet | VectorSet | None = None
    standardizer: Standardizer | None = None
    # what the flow is told to find unlikely, and the OOD sets of that kind
    negative: ImageSet | None = None
    told: tuple[str, ...] = ()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """What the model is on: images `(H, W, C)`, vectors `(D,)` or tokens `(L,)`."""
        if self.standardizer:
            return (self.standardizer.output_dims,)
        return self.train.events.shape[1:]

    @property
    def scored(self) -> dict[str, ImageSet | VectorSet | TokenSet]:
        """The test set and every OOD set, by the name they are reported under."""
        return {self.test.name: self.test, **self.ood}

    @property
    def validation_arrays(self) -> dict[str, np.ndarray]:
        """Validation images, keyed as in data.json, which has none of vectors."""
        if not isinstance(self.validation, ImageSet):
            return {}
        return {"images_held_back": self.validation.images}

    def inputs(
        self, one: ImageSet | VectorSet | TokenSet, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """The events of a set, or those at `rows`, as a model is given them.

        uint8 `[N, H, W, C]`, or standardised `[N, D]`, or tokens, int32 `[N, L]`.
        """
        found = one.events if rows is None else one.events[rows]
        if self.standardizer:
            return self.standardizer.transform(found)
        if isinstance(one, TokenSet):
            # uint8 is what pixels are known by
            return found.astype(np.int32)
        return found


def ood_names(test: str, ood: Sequence[str]) -> list[str]:
    """What each set of `ood` is reported under: its name, all different.

    The split is part of it only where the name alone would be taken, by another split
    of the same set or by a role, such as "train" and "test".
    """
    if not ood:
        raise UserError(
            "config.data.ood names no set; give at least one, such as "
            "--config.data.ood=mnist:test"
        )
    with user_errors("config.data", ValueError, TypeError):
        own, parsed = parse_spec(test), [parse_spec(spec) for spec in ood]
    for spec, pair in zip(ood, parsed):
        if pair == own:
            raise UserError(f"config.data.ood holds the test set itself, {spec!r}")
        if parsed.count(pair) > 1:
            raise UserError(f"config.data.ood holds {spec!r} more than once")
    taken = [name for name, _ in (own, *parsed)]
    taken += ["train", "test", "negative", "validation"]
    return [n if taken.count(n) == 1 else f"{n}:{split}" for n, split in parsed]


def ood_places(c: ConfigDict) -> list[tuple[str, str]]:
    """`(source, path)` of every set of `c.ood`, `c` being a config's `data`.

    From `ood_source` and `ood_path`: no entry is as for training, one entry is for all
    sets, else it is one a set. `-` is as for training, too: its source and, with that
    source, its path; another source has no path unless it is given one.
    """
    sources = _one_a_set("ood_source", c.ood_source, c.ood)
    paths = _one_a_set("ood_path", c.ood_path, c.ood)
    places = []
    for source, path in zip(sources, paths):
        source = c.source if source == SAME else source
        default = c.path if source == c.source else ""
        places.append((source, default if path == SAME else path))
    return places


def _one_a_set(key: str, values: Sequence[str], ood: Sequence[str]) -> Sequence[str]:
    if len(values) in (0, 1):
        return tuple(values or (SAME,)) * len(ood)
    if len(values) != len(ood):
        raise UserError(
            f"config.data.{key} has {len(values)} entries ({', '.join(values)}) for "
            f"{len(ood)} OOD sets ({', '.join(ood)}); give one entry for all, or one a "
            f"set, with {SAME!r} where it is as for training"
        )
    return values


def load_sets(config: ConfigDict, workdir: Path | None = None) -> Sets:
    """Load and cross-check the sets. Raises UserError naming the remedy.

    Vectors are standardised as the run in `workdir` did, where one is there.
    """
    check_numbers(config)
    check_validation(config)
    c = config.data
    names = ood_names(c.test, c.ood)
    places = ood_places(c)
    if c.streaming:
        check_streaming(config)
    if of_vectors(config):
        refuse_for_vectors(config)
        sets = Sets(*load_vector_sets(config, names, places, workdir))
        check_others(sets)
        return sets
    if "detect" in config:
        check_detect(config)
    if of_tokens(config):
        sets = Sets(*load_token_sets(config, names, places))
        check_others(sets)
        return sets

    def load(spec, limit, source=c.source, path=c.path):
        return data.load(spec, source=source, **_how(config, limit, path))

    train = load_train(config)
    with user_errors("config.data"):
        test = load(c.test, c.limit_test)
        ood = {
            name: load(spec, c.limit_test, *place)
            for name, spec, place in zip(names, c.ood, places)
        }
        ood, told = told_and_untold(config, ood)
        for changed in (altered(test, how) for how in c.altered):
            ood[changed.name] = changed
        negative = load_negatives(config, load)
    shape = train.images.shape[1:]
    for image_set in (test, *ood.values(), *((negative,) if negative else ())):
        found = image_set.images.shape[1:]
        if found != shape:
            raise UserError(
                f"{image_set.name}:{image_set.split} has images of shape {found}, the "
                f"training set {shape}; set config.data.image_size or "
                "config.data.channels, or compare sets of one kind"
            )
    if negative is not None:
        check_apart(negative, _looked_at(train), {test.name: test, **ood})
    sets = Sets(train, test, ood, negative=negative, told=told)
    check_others(sets)
    return _with_validation(config, sets)


def _with_validation(config: ConfigDict, sets: Sets) -> Sets:
    """The sets with `data.validation` of the images to train on held back.

    After all checks, which look at the training set as it came.
    """
    # classifiers have no such key
    count = config.data.get("validation", 0)
    if not count:
        return sets
    if type(count) is not int:
        raise UserError(
            f"config.data.validation is {count}, a share, as of vectors; of images, "
            "give the number to hold back, such as 1000"
        )
    with user_errors("config.data.validation", ValueError):
        train, validation = hold_back(sets.train, count, config.seed)
    return sets._replace(train=train, validation=validation)


def load_train(config: ConfigDict) -> ImageSet | StreamedImageSet:
    """The images to train on, in memory or, by `data.streaming`, where they are.

    Raises UserError where they are not, or cannot be streamed.
    """
    c = config.data
    how = _how(config, c.limit_train, c.path)
    with user_errors("config.data"):
        if not c.streaming:
            return data.load(c.train, source=c.source, **how)
        del how["seed"]
        return stream(c.train, source=c.source, **how)


def _how(config: ConfigDict, limit: int, path: str) -> dict:
    c = config.data
    return {
        "path": path or None,
        "limit": limit or None,
        "image_size": c.image_size or None,
        "channels": c.channels or None,
        "seed": config.seed,
    }


def check_others(sets: Sets) -> None:
    """Raise UserError for an OOD set that is the test or training set by another name.

    An archive of one set serves every name: the AUROC would be 0.5, and say nothing.
    """
    for other in sets.ood.values():
        for own in (sets.train, sets.test):
            if own.name != other.name and _equal(own, other):
                raise UserError(
                    f"{other.name}:{other.split} is the same as {own.name}:{own.split}"
                    f" ({other.origin}); give every set of config.data.ood its own "
                    "data, by config.data.ood_path or by names in the archive"
                )


def _equal(own, other) -> bool:
    """Whether two sets hold the same events; of a streamed one, a sample is looked at.

    It is read only where the other has as many.
    """
    if own.events.shape != other.events.shape:
        return False
    mine = _looked_at(own)
    theirs = other if mine is own else other.at(sampled_rows(len(other)))
    return np.array_equal(mine.events, theirs.events)


def _looked_at(one):
    """A set, or the sample of a streamed one that checks look at, in memory."""
    if isinstance(one, StreamedImageSet):
        return one.at(sampled_rows(len(one)))
    return one

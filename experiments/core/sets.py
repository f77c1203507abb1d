"""The sets an experiment trains on and scores, loaded and checked together."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.data_identity import looked_at, sampled_rows
from experiments.core.errors import UserError, user_errors
from experiments.core.keys import Kind, kind
from experiments.core.negatives import check_apart, exposed, load_negatives
from experiments.core.set_names import ood_names, ood_origins
from experiments.core.token_sets import load_tokens
from experiments.core.vector_sets import load_vectors, standardized
from flowjax_ood import data
from flowjax_ood.data.preprocess import altered
from flowjax_ood.data.sets import ImageSet, TokenSet, VectorSet
from flowjax_ood.data.splits import hold_back
from flowjax_ood.data.standardize import Standardizer
from flowjax_ood.data.streaming import StreamedImageSet, stream

AnySet = ImageSet | VectorSet | TokenSet


class Sets(NamedTuple):
    """The sets of an experiment; `ood` by the name they are reported under.

    All are of one `kind`. Vectors are kept as they came, and standardised on their way
    to the flow. Images to train on may be streamed: they are read as they are indexed.
    `validation` is held back from `train`, to choose the best state by; `negative` has
    no part in it.
    """

    train: StreamedImageSet | AnySet
    test: AnySet
    ood: dict[str, AnySet]
    validation: ImageSet | VectorSet | None = None
    standardizer: Standardizer | None = None
    # images the flow is trained to find unlikely, and the OOD sets of that kind
    negative: ImageSet | None = None
    exposed: tuple[str, ...] = ()
    kind: Kind = Kind.IMAGES

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example: images `(H, W, C)`, vectors `(D,)`, tokens `(L,)`."""
        if self.standardizer:
            return (self.standardizer.output_dims,)
        return self.train.events.shape[1:]

    @property
    def scored(self) -> dict[str, AnySet]:
        """The test set and every OOD set, by the name they are reported under."""
        return {self.test.name: self.test, **self.ood}

    @property
    def validation_arrays(self) -> dict[str, np.ndarray]:
        """Validation images, keyed as in data.json, which has none of vectors."""
        if self.validation is None or self.kind is Kind.VECTORS:
            return {}
        return {"images_held_back": self.validation.images}

    def inputs(self, which: AnySet, rows: np.ndarray | None = None) -> np.ndarray:
        """The events of a set, or those at `rows`, as a model is given them.

        uint8 `[N, H, W, C]`, or standardised `[N, D]`, or tokens, int32 `[N, L]`.
        """
        events = which.events if rows is None else which.events[rows]
        if self.standardizer:
            return self.standardizer.transform(events)
        # uint8 is what pixels are known by
        return events.astype(np.int32) if self.kind is Kind.TOKENS else events


def load_sets(config: ConfigDict, workdir: Path | None = None) -> Sets:
    """Load and cross-check the sets. Raises UserError naming the remedy.

    Vectors are standardised as the run in `workdir` did, where there is one.
    """
    c, of = config.data, kind(config)
    load = partial(LOADERS[of], config)
    named = zip(ood_names(c.test, c.ood), c.ood, ood_origins(c), strict=True)
    train = load_train(config)
    with user_errors("config.data"):
        test = load(c.test, c.limit_test, c.source, c.path)
        ood = {name: load(spec, c.limit_test, *at) for name, spec, at in named}
        sets = Sets(train, test, ood, kind=of)
        if of in (Kind.IMAGES, Kind.CLASSIFIER):
            ood, names = exposed(config, ood)
            ood |= {x.name: x for x in (altered(test, how) for how in c.altered)}
            negative = load_negatives(config, load)
            sets = sets._replace(ood=ood, negative=negative, exposed=names)
    _check_shapes(sets)
    if sets.negative is not None:
        check_apart(sets.negative, looked_at(train), {test.name: test, **sets.ood})
    check_others(sets)
    # after all checks, which look at the training set as it came
    if of is Kind.VECTORS:
        with user_errors("config.data"):
            train, validation, standardizer = standardized(config, train, workdir)
        return sets._replace(
            train=train, validation=validation, standardizer=standardizer
        )
    # classifiers have no such key
    if c.get("validation"):
        with user_errors("config.data.validation", ValueError):
            train, validation = hold_back(train, c.validation, config.seed)
        return sets._replace(train=train, validation=validation)
    return sets


def load_train(config: ConfigDict) -> StreamedImageSet | AnySet:
    """The set to train on, in memory or, by `data.streaming`, where it is.

    Raises UserError where it is not, or cannot be streamed.
    """
    c = config.data
    with user_errors("config.data"):
        if not c.streaming:
            return LOADERS[kind(config)](
                config, c.train, c.limit_train, c.source, c.path
            )
        return stream(
            c.train,
            source=c.source,
            path=c.path or None,
            limit=c.limit_train or None,
            image_size=c.image_size or None,
            channels=c.channels or None,
        )


def load_images(
    config: ConfigDict, spec: str, limit: int, source: str, path: str
) -> ImageSet:
    """Images `name:split`; `limit` 0 is all of them."""
    c = config.data
    return data.load(
        spec,
        source=source,
        path=path or None,
        limit=limit or None,
        image_size=c.image_size or None,
        channels=c.channels or None,
        seed=config.seed,
    )


LOADERS = {
    Kind.IMAGES: load_images,
    Kind.VECTORS: load_vectors,
    Kind.CLASSIFIER: load_images,
    Kind.TOKENS: load_tokens,
}


def _check_shapes(sets: Sets) -> None:
    """Raise UserError unless all sets are of the training set's shape."""
    own = sets.train.events.shape[1:]
    for other in (sets.test, *sets.ood.values(), *filter(None, (sets.negative,))):
        shape = other.events.shape[1:]
        if shape == own:
            continue
        name = f"{other.name}:{other.split}"
        if sets.kind is Kind.VECTORS:
            raise UserError(
                f"{name} has vectors of {other.dims} features, the training set of "
                f"{sets.train.dims}; compare sets of one kind"
            )
        raise UserError(
            f"{name} has {other.KIND} of shape {shape}, the training set {own}; set "
            "config.data.image_size or config.data.channels, or compare sets of one "
            "kind"
        )


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
    """Whether two sets hold the same events; of a streamed set, a sample is looked at.

    It is read only where the other has as many.
    """
    if own.events.shape != other.events.shape:
        return False
    mine = looked_at(own)
    theirs = other if mine is own else other.at(sampled_rows(len(other)))
    return np.array_equal(mine.events, theirs.events)

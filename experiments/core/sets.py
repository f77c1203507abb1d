"""The sets an experiment trains on and scores, loaded and checked together."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.core.data_identity import looked_at, sampled_rows
from experiments.core.keys import Kind, kind
from experiments.core.loaders import load_set, load_train
from experiments.core.negatives import check_apart, exposed, load_negatives
from experiments.core.set_names import ood_names, ood_origins
from experiments.core.training_images import leave_out, with_mutations
from flowjax_ood.data.preprocess import altered
from flowjax_ood.data.sets import ImageSet, StoredSet
from flowjax_ood.data.splits import hold_back
from flowjax_ood.data.standardize import Standardizer, fit_standardizer
from flowjax_ood.interface.errors import UserError, user_errors

# in a run's workdir: the standardisation its flow was trained behind
STANDARDIZATION = "standardization.npz"


class Sets(NamedTuple):
    """The sets of an experiment; `ood` by the name they are reported under.

    All are of one `kind`. Vectors are kept as they came, and standardised on their way
    to the flow. Images to train on may be streamed: they are read as they are indexed.
    `validation` is held back from `train`, to choose the best state by; `negative` has
    no part in it.
    """

    train: StoredSet
    test: StoredSet
    ood: dict[str, StoredSet]
    validation: StoredSet | None = None
    standardizer: Standardizer | None = None
    # images the flow is trained to find unlikely, and the OOD sets of that kind
    negative: ImageSet | None = None
    exposed: tuple[str, ...] = ()
    kind: Kind = Kind.IMAGES
    # values of a pixel
    bins: int = 256
    # that a flow is conditioned on, by the labels of `train`; 0: none
    classes: int = 0
    # test images of the classes that were left out of training: no OOD set, since
    # `scores` keeps them back
    left_out: StoredSet | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example: images `(H, W, C)`, vectors `(D,)`, tokens `(L,)`."""
        if self.standardizer:
            return (self.standardizer.output_dims,)
        return self.train.events.shape[1:]

    @property
    def train_labels(self) -> np.ndarray:
        """Labels of the training set of a model that learns them, which has some."""
        assert self.train.labels is not None  # `load_sets` or the command has looked
        return self.train.labels

    @property
    def scored(self) -> dict[str, StoredSet]:
        """The test set and every OOD set, by the name they are reported under."""
        return {self.test.name: self.test, **self.ood}

    def describe(self) -> dict[str, dict]:
        """Facts of every set, by its role, or the name an OOD set is reported under."""
        sets: dict[str, StoredSet | None]
        sets = {"train": self.train, "test": self.test, **self.ood}
        sets |= {"validation": self.validation, "negative": self.negative}
        return {name: s.describe() for name, s in sets.items() if s is not None}

    @property
    def other_arrays(self) -> dict[str, np.ndarray]:
        """What training uses beside events of `train`, keyed as in data.json.

        Validation images, of vectors none; and labels, where a flow is conditioned.
        """
        arrays = {}
        if self.validation is not None and self.kind is not Kind.VECTORS:
            arrays["images_held_back"] = self.validation.events
        if self.classes:
            arrays["labels"] = self.train_labels
        return arrays

    def inputs(self, which: StoredSet, rows: np.ndarray | None = None) -> np.ndarray:
        """The events of a set, or those at `rows`, as a model is given them.

        Stored images `[N, H, W, C]`, or standardised `[N, D]`, or tokens, int32
        `[N, L]`.
        """
        events = which.events if rows is None else which.events[rows]
        if self.standardizer:
            return self.standardizer.transform(events)
        # uint8 is what pixels are known by
        return events.astype(np.int32) if self.kind is Kind.TOKENS else events

    def pictures(self, images: np.ndarray) -> np.ndarray:
        """Images as figures show them: uint8 of 256 values, or float32 in [0, 1]."""
        if self.bins == 256:
            return images
        return images.astype(np.float32) / (self.bins - 1)


def check_images(sets: Sets, images: Sequence[int]) -> None:
    """Raise UserError for numbers of images, to show, that a scored set lacks."""
    for name, image_set in sets.scored.items():
        if max(images) >= len(image_set):
            raise UserError(
                f"--images {max(images)}: {name} has images 0 to {len(image_set) - 1}"
            )


def load_sets(config: ConfigDict, workdir: Path | None = None) -> Sets:
    """Load and cross-check the sets. Raises UserError naming the remedy.

    Vectors are standardised as the run in `workdir` did, where there is one.
    """
    c, of = config.data, kind(config)
    named = zip(ood_names(c.test, c.ood), c.ood, ood_origins(c), strict=True)
    train = load_train(config)
    with user_errors("config.data"):
        test = load_set(config, c.test, c.limit_test, c.source, c.path)
        ood = {n: load_set(config, spec, c.limit_test, *at) for n, spec, at in named}
        bins = c.get("bins", 256)
        classes = c.get("classes", 0)
        sets = Sets(train, test, ood, kind=of, bins=bins, classes=classes)
        if of in (Kind.IMAGES, Kind.CLASSIFIER):
            assert isinstance(test, ImageSet)
            train, _ = leave_out(config, train)
            test, left_out = leave_out(config, test)
            sets = sets._replace(train=train, test=test, left_out=left_out)
            ood, names = exposed(config, ood)
            others = (altered(test, how, bins) for how in c.altered)
            ood |= {x.name: x for x in others}
            negative = load_negatives(config)
            sets = sets._replace(ood=ood, negative=negative, exposed=names)
    _check_shapes(sets)
    if sets.negative is not None:
        check_apart(sets.negative, looked_at(train), sets.scored)
    check_others(sets)
    # after all checks, which look at the training set as it came
    if c.get("validation"):  # classifiers have no such key
        vectors = of is Kind.VECTORS
        count = _share(c.validation, train) if vectors else c.validation
        with user_errors("config.data.validation", ValueError):
            train, validation = hold_back(train, count, config.seed)
        sets = sets._replace(train=train, validation=validation)
    _check_classes(config, sets)
    if of is Kind.IMAGES:
        # the held back are as they are stored
        sets = sets._replace(train=with_mutations(config, train))
    if of is Kind.VECTORS:
        with user_errors("config.data"):
            sets = sets._replace(standardizer=_standardizer(c, train, workdir))
        for name, events in sets.scored.items():
            # before training: what is too far out for it cannot be scored
            with user_errors(f"{name}:{events.split}", ValueError):
                sets.inputs(events)
    return sets


def _share(share: float, whole: StoredSet) -> int:
    """Count the vectors of a share; UserError unless both parts have some."""
    count = round(share * len(whole))
    if not 1 <= count <= len(whole) - 2:
        raise UserError(
            f"config.data.validation={share} leaves {count} of {len(whole)} training "
            "vectors to stop by; each part needs some. Set it to another share"
        )
    return count


def _standardizer(c: ConfigDict, train: StoredSet, workdir: Path | None):
    """Read the standardisation of the run in `workdir`, or fit it to `train`."""
    if workdir is None or not (workdir / STANDARDIZATION).exists():
        with user_errors(f"{train.name}:{train.split}", ValueError):
            return fit_standardizer(
                train.events, constant=c.constant, pca=c.pca, whiten=c.whiten
            )
    kept = Standardizer.load(workdir / STANDARDIZATION)
    dims = train.events.shape[1]
    if kept.dims != dims:
        raise UserError(
            f"{workdir / STANDARDIZATION} is of vectors of {kept.dims} features, the "
            f"training set has {dims}; give the data of that run, or another "
            "--workdir"
        )
    return kept


def keep_standardizer(standardizer: Standardizer, workdir: Path) -> None:
    """Write the run's standardisation, once: its flow means nothing without it."""
    if not (workdir / STANDARDIZATION).exists():
        standardizer.save(workdir / STANDARDIZATION)


def drawn_rows(count: int, limit: int, seed: int) -> np.ndarray:
    """Draw `limit` of `count` rows, ascending; all of them with limit 0."""
    if not 0 < limit < count:
        return np.arange(count)
    # by chance: files may be sorted by class
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])


def _check_shapes(sets: Sets) -> None:
    """Raise UserError unless all sets are of the training set's shape."""
    own = sets.train.events.shape[1:]
    negatives = () if sets.negative is None else (sets.negative,)
    for other in (*sets.scored.values(), *negatives):
        shape = other.events.shape[1:]
        if shape == own:
            continue
        name = f"{other.name}:{other.split}"
        if sets.kind is Kind.VECTORS:
            raise UserError(
                f"{name} has vectors of {shape[0]} features, the training set of "
                f"{own[0]}; compare sets of one kind"
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


def _check_classes(config: ConfigDict, sets: Sets) -> None:
    """Raise UserError unless there are training images of each of `data.classes`.

    But for those of `data.leave_out`. A class without any would be as likely as the
    others, and have a density that nothing was fitted to.
    """
    classes, train = config.data.get("classes", 0), sets.train
    if not classes:
        return
    what, key = f"{train.name}:{train.split}", f"config.data.classes={classes}"
    if sets.negative is not None:
        raise UserError(
            f"{key} is of maximum likelihood, and negatives (config.train.negative) "
            "have no class of it; train without them, or set it to 0"
        )
    if train.labels is None:
        streamed = ", as streamed images do" if config.data.streaming else ""
        raise UserError(
            f"{key} needs labels, and {what} comes without{streamed}; give labelled "
            f"{train.KIND} in memory, or set it to 0"
        )
    left_out = set(config.data.get("leave_out", ()))
    known = set(np.unique(train.labels).tolist())
    if outside := sorted(known - set(range(classes))):
        whole = max(known | left_out) + 1
        raise UserError(
            f"{key}, and {what} has the class {outside[-1]}; set it to {whole}, or to 0"
        )
    if missing := sorted(set(range(classes)) - known - left_out):
        raise UserError(
            f"{key}, and {what} has nothing of class "
            f"{', '.join(map(str, missing))} to train on; number the classes 0, 1, "
            "..., take more of it, or set it to 0"
        )
    if len(known) == 1:
        raise UserError(
            f"{key}, and all of {what} is of class {min(known)}: a mixture is of "
            "several; set it to 0"
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

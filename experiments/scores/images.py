"""In-distribution images of `scores` that no run was trained on, and outliers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.core.evaluation import TrainedFlow
from experiments.core.keys import Kind
from experiments.core.loaders import load_set, load_train
from experiments.core.other_images import other_images
from experiments.core.training_images import leave_out
from experiments.scores.rows import Row
from flowjax_ood import data
from flowjax_ood.data.checks import row_digests
from flowjax_ood.data.outliers.battery import Battery
from flowjax_ood.data.random import permutation
from flowjax_ood.data.sets import StoredSet
from flowjax_ood.data.sources import emoji
from flowjax_ood.interface.errors import UNUSABLE, UserError, user_errors
from flowjax_ood.runtime.messages import warn

LEAST_IMAGES = 20
# for all scores to be fitted: the last of 256 components needs one image more
ENOUGH = 257
# sets of other images, by the names that the battery knows them by
KNOWN = {"mnist": "digits", "glyphs": "glyphs"}
EMOJI = "emoji"
# sets the randomness of this choice apart
WORD = "scores: all from the test set"


class Images(NamedTuple):
    """uint8 images to fit, to calibrate and to test; `taken_from` says from where."""

    fit: np.ndarray
    calibrate: np.ndarray
    test: np.ndarray
    taken_from: str


def check_kind(runs: Sequence[TrainedFlow]) -> None:
    """Raise UserError unless all runs are of 8-bit images of one shape."""
    for trained in runs:
        sets = trained.sets
        if sets.kind is not Kind.IMAGES or sets.bins != 256:
            what = "vectors" if sets.kind is Kind.VECTORS else f"{sets.bins} values"
            raise UserError(
                f"{trained.workdir} holds a flow of {what}; scores compares flows of "
                "8-bit images"
            )
        if sets.event_shape != runs[0].sets.event_shape:
            raise UserError(
                f"{trained.workdir} is of images of shape {sets.event_shape}, "
                f"{runs[0].workdir} of {runs[0].sets.event_shape}; give runs of one "
                "shape"
            )


def check_alike(runs: Sequence[TrainedFlow]) -> None:
    """Raise UserError unless all runs are of the same 8-bit images."""
    check_kind(runs)
    first = runs[0]
    for trained in runs:
        sets = trained.sets
        if not np.array_equal(sets.test.events, first.sets.test.events):
            raise UserError(
                f"{first.workdir} and {trained.workdir} have other test images; give "
                "runs of the same images"
            )


def split(
    runs: Sequence[TrainedFlow],
    seed: int,
    fit: int,
    calibrate: int,
    test: int,
    others: Sequence[TrainedFlow] = (),
) -> Images:
    """Choose images, at most as many as said.

    To fit and calibrate by: training images that neither a run nor one of `others` has
    seen, not even to choose its best state; where there are too few of them for some
    scores, two thirds of the test images. Variants of one picture, of the embedded
    emoji, are all in one part: a score that remembers images would know them. UserError
    for too few images.
    """
    tested = runs[0].sets.test.events
    unseen = _unseen(runs, others)
    if unseen is not None and len(unseen) >= 2 * (
        LEAST_IMAGES if len(tested) < 3 * ENOUGH else ENOUGH
    ):
        order = permutation(len(unseen), seed, "scores: fit and calibrate")
        each = len(unseen) // 2
        fitted, rest = order[: min(fit, each)], order[each:]
        # files may be sorted by class
        held_out = np.sort(permutation(len(tested), seed, WORD)[:test])
        return Images(
            unseen[np.sort(fitted)],
            unseen[np.sort(rest[:calibrate])],
            tested[held_out],
            "training images that no run has seen",
        )
    if len(tested) < 4 * LEAST_IMAGES:
        raise UserError(
            f"{runs[0].label} has {len(tested)} test images, and no unseen training "
            f"images to fit and calibrate scores by: at least {4 * LEAST_IMAGES} are "
            "needed; set config.data.limit_test to more"
        )
    order = permutation(len(tested), seed, WORD)
    taken_from = "the test set, of which the rest is tested on"
    groups = _groups(runs[0].sets.test)
    if groups is None:
        third = len(tested) // 3
        ends = np.cumsum([min(fit, third), min(calibrate, third), test])
        chosen = np.split(order, ends)[:3]
    else:
        part = _thirds(groups, seed)[order]
        most = (fit, calibrate, test)
        chosen = [order[part == number][:n] for number, n in enumerate(most)]
        taken_from += "; no part has a variant of a picture of another"
    fitted, calibrating, held_out = (tested[np.sort(rows)] for rows in chosen)
    return Images(fitted, calibrating, held_out, taken_from)


def _groups(images: StoredSet) -> np.ndarray | None:
    """The number of the picture that each image is a variant of; None without such."""
    if (images.name, images.source) != (EMOJI, "embedded"):
        return None
    bases = emoji.groups(images.split)[: len(images)]
    return np.unique(bases, return_inverse=True)[1]


def _thirds(groups: np.ndarray, seed: int) -> np.ndarray:
    """The part, 0, 1 or 2, of each image: whole groups, dealt by where their middle is.

    Groups are in the order of the seed; parts have about a third of the images each.
    """
    order = permutation(groups.max() + 1, seed, WORD)
    sizes = np.bincount(groups)[order]
    middle = np.cumsum(sizes) - sizes / 2
    part = np.empty(len(order), int)
    part[order] = np.minimum(3 * middle // len(groups), 2)
    return part[groups]


def _unseen(
    runs: Sequence[TrainedFlow], others: Sequence[TrainedFlow]
) -> np.ndarray | None:
    """Training images that no flow has seen; None where they cannot be told."""
    config, seen = runs[0].config, set()
    c = config.data
    every = (*runs, *others)
    if any(t.config.data.source == "synthetic" for t in every):
        return None
    if any(t.config.data.streaming for t in every):
        return None
    for trained in every:
        sets = trained.sets
        known = [s for s in (sets.train, sets.validation) if s is not None]
        if trained.config.data.get("mutated"):
            # what the mutated images were made of
            known.append(load_train(trained.config))
        for images in known:
            seen |= set(row_digests(images.events))
    with user_errors("config.data"):
        whole = load_set(config, c.train, 0, c.source, c.path)
        whole, _ = leave_out(config, whole)
    # of its own kind, but in neither set
    seen |= set(row_digests(runs[0].sets.test.events))
    new = [digest not in seen for digest in row_digests(whole.events)]
    return whole.events[np.array(new)]


def battery(
    runs: Sequence[TrainedFlow], test: np.ndarray, seed: int, blocks: Sequence[str]
) -> Battery:
    """Make the outliers of test images; the runs' own OOD sets are among them."""
    others, left_out = {}, runs[0].sets.left_out
    if left_out is not None:
        others["class_left_out"] = left_out.events
    for name, known in runs[0].sets.ood.items():
        # made of test images, as the battery's own
        if not name.startswith(f"{runs[0].sets.test.name} "):
            others[_kind(name)] = known.events
    shape = test.shape[1:]
    shipped = other_images(shape, len(test))
    if runs[0].sets.test.name == EMOJI:
        # its own are told apart by what they show
        shipped.pop(EMOJI, None)
    others = shipped | others
    try:
        others["sklearn_digits"] = _small_digits(shape)
    except UNUSABLE as error:
        warn(f"no scikit-learn digits among the outliers: {error}")
    with user_errors("no outliers can be made of the test images", ValueError):
        return data.battery(test, seed, others, blocks=blocks)


def told_of(row: Row, runs: Sequence[TrainedFlow]) -> Row:
    """The row, its `told` with the sets that a flow was trained to find unlikely."""
    if row.control:
        return row
    exposed = {_kind(name) for trained in runs for name in trained.sets.exposed}
    return row._replace(told=(*row.told, *sorted(exposed)))


def _kind(name: str) -> str:
    """The name of the battery for a set of a run."""
    return KNOWN.get(name.partition(":")[0], name)


def _small_digits(shape: tuple[int, ...]) -> np.ndarray:
    """The 1,797 digits of scikit-learn, 8 x 8, enlarged: uint8 `[N, *shape]`."""
    from PIL import Image
    from sklearn.datasets import load_digits

    small = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    size = shape[1], shape[0]
    large = [
        np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BILINEAR))
        for x in small
    ]
    return np.repeat(np.stack(large)[..., None], shape[2], axis=3)

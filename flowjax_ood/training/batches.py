"""The batch of each training step, as a function of the step alone.

Of several processes, each reads its own part of every batch: `batches(step, part)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.sets import class_labels
from flowjax_ood.runtime.shares import WHOLE, Share

# fields of a batch, by name; every array has a row for each example
HostBatch = dict[str, np.ndarray]
# (step, part) -> the rows of that batch which one process reads
Batches = Callable[..., HostBatch]
# Added to the seed: a second set is shuffled by itself, and by no run's own seed.
SECOND_STREAM = 2**32


@dataclass(frozen=True)
class Stream:
    """`stream(step, part)`: rows of a set, shuffled anew every epoch.

    A batch holds the rows of every column `[N, ...]` by its name, and `index`, int32
    `[batch_size]`: the positions of its examples in the set, counted from `first`, on
    which their noise depends. A pure function of `(seed, step)`.
    """

    columns: Mapping[str, np.ndarray]
    batch_size: int
    seed: int
    first: int = 0

    def __call__(self, step: int, part: Share = WHOLE) -> HostBatch:
        count = len(next(iter(self.columns.values())))
        at = part.of(batch_indices(count, self.batch_size, self.seed, step))
        rows = {name: column[at] for name, column in self.columns.items()}
        return rows | {"index": (self.first + at).astype(np.int32)}


def image_batches(images: np.ndarray, batch_size: int, seed: int) -> Batches:
    """`batches(step)` of `images`, uint8 `[N, H, W, C]`, shuffled anew every epoch.

    A batch holds `image`, uint8 `[batch_size, H, W, C]`, and `index` (see `Stream`).
    """
    return Stream({"image": images}, batch_size, seed)


def vector_batches(vectors: np.ndarray, batch_size: int, seed: int) -> Batches:
    """`batches(step)` of `vectors`, float32 `[N, D]`, in the order of `image_batches`.

    A batch holds `x`, float32 `[batch_size, D]`, and `index` (see `Stream`).
    """
    return Stream({"x": vectors}, batch_size, seed)


def conditional_batches(
    x: np.ndarray, cond: np.ndarray, batch_size: int, seed: int
) -> Batches:
    """`batches(step)` of events and their conditions, in the order of `image_batches`.

    `x` floating-point `[N, ...]` and `cond` floating-point `[N, ...]`, one row for each
    event: a batch holds both, and `index` (see `Stream`). Raises ValueError for another
    number of rows.
    """
    if len(x) != len(cond):
        raise ValueError(
            f"there must be one row of cond for each of the {len(x)} events, got "
            f"{len(cond)}"
        )
    columns = {"x": np.asarray(x), "cond": np.asarray(cond)}
    return Stream(columns, batch_size, seed)


def labelled_batches(
    examples: np.ndarray, labels: np.ndarray, batch_size: int, seed: int
) -> Batches:
    """`batches(step)` of `examples` and their classes, in the order of `image_batches`.

    Of images, uint8 or uint16 `[N, H, W, C]`, a batch holds `image`; of anything else,
    such as tokens, int32 `[N, L]`, it holds `x`. With it come `label`, int32
    `[batch_size]`, and `index` (see `Stream`). Raises ValueError unless `labels` are
    integers `[N]`, none negative.
    """
    kind = "image" if examples.dtype in (np.uint8, np.uint16) else "x"
    labels = class_labels(labels, len(examples))
    return Stream({kind: examples, "label": labels}, batch_size, seed)


def batches_with_negatives(
    images: np.ndarray, negatives: np.ndarray, batch_size: int, seed: int
) -> Batches:
    """`batches(step)`: `batch_size` of `images` and as many of `negatives`.

    Both uint8 `[N, H, W, C]`, each in a shuffled stream of its own; that of the images
    is `image_batches`' own. A batch holds `image` `[2 batch_size, H, W, C]`, an image
    to learn and a negative by turns, so that devices share both kinds evenly;
    `negative`, boolean, which is which; and `index`: negatives follow the images.

    Raises ValueError where the images differ in shape.
    """
    _check_shapes(images, negatives, "negatives")
    own = image_batches(images, batch_size, seed)
    other = Stream({"image": negatives}, batch_size, seed + SECOND_STREAM, len(images))

    def batches(step: int, part: Share = WHOLE) -> HostBatch:
        mine, theirs = own(step, part), other(step, part)
        pairs = {name: np.stack([mine[name], theirs[name]], axis=1) for name in mine}
        rows = {name: pair.reshape(-1, *pair.shape[2:]) for name, pair in pairs.items()}
        return rows | {"negative": np.tile([False, True], len(mine["index"]))}

    return batches


def batches_with_outliers(
    images: np.ndarray,
    labels: np.ndarray,
    outliers: np.ndarray,
    batch_size: int,
    outlier_batch_size: int,
    seed: int,
) -> Batches:
    """`batches(step)` of `labelled_batches`, with outliers.

    `images` and `outliers` are uint8 `[N, H, W, C]`, each in a shuffled stream of its
    own. A batch also holds `outlier`, uint8 `[outlier_batch_size, H, W, C]`, and
    `outlier_index`, int32: outliers follow the images. Raises ValueError where they are
    not images of one shape.
    """
    for name, given in (("images", images), ("outliers", outliers)):
        if given.dtype != np.uint8 or given.ndim != 4:
            raise ValueError(
                f"{name} must be uint8 [N, H, W, C], got {given.dtype} of shape "
                f"{given.shape}"
            )
    _check_shapes(images, outliers, "outliers")
    own = labelled_batches(images, labels, batch_size, seed)
    other = Stream(
        {"image": outliers}, outlier_batch_size, seed + SECOND_STREAM, len(images)
    )

    def batches(step: int, part: Share = WHOLE) -> HostBatch:
        theirs = other(step, part)
        rows = {"outlier": theirs["image"], "outlier_index": theirs["index"]}
        return own(step, part) | rows

    return batches


def _check_shapes(images: np.ndarray, others: np.ndarray, kind: str) -> None:
    if images.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"images of shape {images.shape[1:]} cannot be trained with {kind} of "
            f"shape {others.shape[1:]}"
        )

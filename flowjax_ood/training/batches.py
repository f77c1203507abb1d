"""What each training step sees, as a function of the step alone.

Of several processes, each reads its own part of every batch: `batches(step, part)`.
"""

from collections.abc import Callable

import numpy as np

from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.sets import class_labels
from flowjax_ood.runtime.shares import WHOLE, Share


def image_batches(
    images: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `images`, uint8 `[N, H, W, C]`, shuffled anew every epoch.

    A batch holds `image`, uint8 `[batch_size, H, W, C]`, and `index`, int32
    `[batch_size]`, the positions of its images in the set, on which their
    dequantisation noise depends. It is a pure function of `(seed, step)`.
    """

    def batches(step: int, part: Share = WHOLE) -> dict[str, np.ndarray]:
        at = part.of(batch_indices(len(images), batch_size, seed, step))
        return {"image": images[at], "index": at.astype(np.int32)}

    return batches


def vector_batches(
    vectors: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `vectors`, float32 `[N, D]`, in the order of `image_batches`.

    A batch holds `x`, float32 `[batch_size, D]`, and `index` as there.
    """

    def batches(step: int, part: Share = WHOLE) -> dict[str, np.ndarray]:
        at = part.of(batch_indices(len(vectors), batch_size, seed, step))
        return {"x": vectors[at], "index": at.astype(np.int32)}

    return batches


def labelled_batches(
    examples: np.ndarray, labels: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `examples` and their classes, in the order of `image_batches`.

    Of images, uint8 `[N, H, W, C]`, a batch holds `image`; of anything else, such as
    tokens, int32 `[N, L]`, it holds `x`. Beside it `label`, int32 `[batch_size]`, and
    `index` as there. Raises ValueError unless `labels` are integers `[N]`, none
    negative.
    """
    labels = class_labels(labels, len(examples))
    kind = "image" if examples.dtype == np.uint8 else "x"

    def batches(step: int, part: Share = WHOLE) -> dict[str, np.ndarray]:
        at = part.of(batch_indices(len(examples), batch_size, seed, step))
        return {
            kind: examples[at],
            "label": labels[at],
            "index": at.astype(np.int32),
        }

    return batches


# Added to the seed: what is told of is shuffled by itself, and by no run's own seed.
NEGATIVE_STREAM = 2**32


def batches_with_negatives(
    images: np.ndarray, negatives: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)`: `batch_size` of `images` and as many of `negatives`.

    Both uint8 `[N, H, W, C]`, each in a shuffled stream of its own. A batch holds
    `image` `[2 batch_size, H, W, C]`, an image to learn and a negative by turns, so
    that devices share both kinds evenly; `negative`, boolean, which is which; and
    `index`, int32, of which their noise depends: negatives follow the images. A pure
    function of `(seed, step)`; that of the images is `image_batches`' own.

    Raises ValueError where the images differ in shape.
    """
    if images.shape[1:] != negatives.shape[1:]:
        raise ValueError(
            f"images of shape {images.shape[1:]} cannot be trained with negatives of "
            f"shape {negatives.shape[1:]}"
        )
    which = np.tile([False, True], batch_size)

    def batches(step: int, part: Share = WHOLE) -> dict[str, np.ndarray]:
        own = batch_indices(len(images), batch_size, seed, step)
        told = batch_indices(len(negatives), batch_size, seed + NEGATIVE_STREAM, step)
        own, told = part.of(own), part.of(told)
        return {
            "image": _by_turns(images[own], negatives[told]),
            "index": _by_turns(own, len(images) + told).astype(np.int32),
            "negative": part.of(which),
        }

    return batches


def _by_turns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`first[0], second[0], first[1], second[1], ...`"""
    return np.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


# Added to the seed: outliers are shuffled by themselves, and by no run's own seed.
OUTLIER_STREAM = 2**32


def batches_with_outliers(
    images: np.ndarray,
    labels: np.ndarray,
    outliers: np.ndarray,
    batch_size: int,
    outlier_batch_size: int,
    seed: int,
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `labelled_batches`, and beside them outliers.

    `images` and `outliers` are uint8 `[N, H, W, C]`, each in a shuffled stream of its
    own. A batch also holds `outlier`, uint8 `[outlier_batch_size, H, W, C]`, and
    `outlier_index`, int32: positions counted on from the images'. A pure function of
    `(seed, step)`. Raises ValueError where they are not images of one shape.
    """
    for name, given in (("images", images), ("outliers", outliers)):
        if given.dtype != np.uint8 or given.ndim != 4:
            raise ValueError(
                f"{name} must be uint8 [N, H, W, C], got {given.dtype} of shape "
                f"{given.shape}"
            )
    if images.shape[1:] != outliers.shape[1:]:
        raise ValueError(
            f"images of shape {images.shape[1:]} cannot be trained with outliers of "
            f"shape {outliers.shape[1:]}"
        )
    own = labelled_batches(images, labels, batch_size, seed)

    def batches(step: int, part: Share = WHOLE) -> dict[str, np.ndarray]:
        at = batch_indices(
            len(outliers), outlier_batch_size, seed + OUTLIER_STREAM, step
        )
        at = part.of(at)
        index = (len(images) + at).astype(np.int32)
        return own(step, part) | {"outlier": outliers[at], "outlier_index": index}

    return batches

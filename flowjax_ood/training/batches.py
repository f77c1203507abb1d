"""What each training step sees, as a function of the step alone.

Of several processes, each reads its own part of every batch: `batches(step, part)`.
"""

from collections.abc import Callable

import numpy as np

from flowjax_ood.data.batching import WHOLE, Part, batch_indices


def image_batches(
    images: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `images`, uint8 `[N, H, W, C]`, shuffled anew every epoch.

    A batch holds `image`, uint8 `[batch_size, H, W, C]`, and `index`, int32
    `[batch_size]`, the positions of its images in the set, on which their
    dequantisation noise depends. It is a pure function of `(seed, step)`.
    """

    def batches(step: int, part: Part = WHOLE) -> dict[str, np.ndarray]:
        at = part.of(batch_indices(len(images), batch_size, seed, step))
        return {"image": images[at], "index": at.astype(np.int32)}

    return batches


def vector_batches(
    vectors: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `vectors`, float32 `[N, D]`, in the order of `image_batches`.

    A batch holds `x`, float32 `[batch_size, D]`, and `index` as there.
    """

    def batches(step: int, part: Part = WHOLE) -> dict[str, np.ndarray]:
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
    labels = check_labels(labels, len(examples))
    kind = "image" if examples.dtype == np.uint8 else "x"

    def batches(step: int, part: Part = WHOLE) -> dict[str, np.ndarray]:
        at = part.of(batch_indices(len(examples), batch_size, seed, step))
        return {
            kind: examples[at],
            "label": labels[at],
            "index": at.astype(np.int32),
        }

    return batches


def check_labels(labels: np.ndarray | None, count: int) -> np.ndarray:
    """`labels` as int32 `[count]`; ValueError for anything but classes 0, 1, ..."""
    if labels is None:
        raise ValueError("these images have no labels; a classifier needs them")
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape ({count},), one for each example, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    if (labels < 0).any():
        raise ValueError(f"labels must not be negative, got {labels.min()}")
    return labels.astype(np.int32)

"""What each training step sees, as a function of the step alone."""

from collections.abc import Callable

import numpy as np

from flowjax_ood.data.batching import batch_indices


def image_batches(
    images: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `images`, uint8 `[N, H, W, C]`, shuffled anew every epoch.

    A batch holds `image`, uint8 `[batch_size, H, W, C]`, and `index`, int32
    `[batch_size]`, the positions of its images in the set, on which their
    dequantisation noise depends. It is a pure function of `(seed, step)`.
    """

    def batches(step: int) -> dict[str, np.ndarray]:
        at = batch_indices(len(images), batch_size, seed, step)
        return {"image": images[at], "index": at.astype(np.int32)}

    return batches


def vector_batches(
    vectors: np.ndarray, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `vectors`, float32 `[N, D]`, in the order of `image_batches`.

    A batch holds `x`, float32 `[batch_size, D]`, and `index` as there.
    """

    def batches(step: int) -> dict[str, np.ndarray]:
        at = batch_indices(len(vectors), batch_size, seed, step)
        return {"x": vectors[at], "index": at.astype(np.int32)}

    return batches

"""The control that every table of outliers needs: a Gaussian of raw pixels."""

from collections.abc import Mapping

import numpy as np

COMPONENTS = 128
NAME = "PCA Gaussian (no network)"


def pixel_gaussian(
    train: np.ndarray, sets: Mapping[str, np.ndarray], components: int = COMPONENTS
) -> dict[str, np.ndarray]:
    """`{set: log N(t; 0, L) [N]}` of the principal components t of pixels, nats.

    Less a constant: minus half the squared Mahalanobis distance within the first
    `components`, of variances L; fewer where the images `train`, uint8 `[N, H, W, C]`,
    span fewer. Raises ValueError where they are all equal.
    """
    x = _rows(train)
    mean = x.mean(0)
    _, lengths, axes = np.linalg.svd(x - mean, full_matrices=False)
    deviations = lengths[:components] / np.sqrt(len(x))
    # below that, rounding: of pixels in [0, 1]
    spanned = deviations > 1e-6
    if not spanned.any():
        raise ValueError(
            f"all {len(x)} training images are equal: their pixels have no components"
        )
    white = axes[:components][spanned].T / deviations[spanned]
    return {
        name: -0.5 * (((_rows(images) - mean) @ white) ** 2).sum(1)
        for name, images in sets.items()
    }


def _rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64) / 255

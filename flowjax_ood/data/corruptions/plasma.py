"""Clouds by midpoint displacement: noise with structure at every scale."""

import numpy as np

from flowjax_ood.data.random import Streams


def plasma(streams: Streams, height: int, width: int, roughness: float) -> np.ndarray:
    """A random relief for each image, float32 `[N, H, W]`, of minimum 0 and maximum 1.

    The diamond-square algorithm on a periodic square grid, a power of two wide, of
    which the corner is returned. A level of half the distance is displaced by
    `roughness` times as much: small values make smooth clouds.

    Minimum and maximum are those of the whole grid, so a part may miss them.
    """
    size = 2
    while size < max(height, width):
        size *= 2
    numbers = 2 * streams.uniform(size * size) - 1
    grid = np.zeros((len(numbers), size, size), np.float32)
    used, step, scale = 0, size, np.float32(1)

    def displaced(corners: np.ndarray) -> np.ndarray:
        """The mean of four corners, given their sum, and noise."""
        nonlocal used
        count = corners.shape[1] * corners.shape[2]
        noise = numbers[:, used : used + count].reshape(corners.shape)
        used += count
        return corners / 4 + scale * noise

    while step > 1:
        half = step // 2
        corners = grid[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=2)
        middles = displaced(pairs + np.roll(pairs, -1, axis=1))
        grid[:, half::step, half::step] = middles
        # edges along a row have a middle above and below, those along a column have
        # one to the left and to the right
        along = middles + np.roll(middles, 1, axis=1)
        grid[:, ::step, half::step] = displaced(pairs + along)
        along = middles + np.roll(middles, 1, axis=2)
        down = corners + np.roll(corners, -1, axis=1)
        grid[:, half::step, ::step] = displaced(down + along)
        step, scale = half, scale * np.float32(roughness)
    low = grid.min(axis=(1, 2), keepdims=True)
    high = grid.max(axis=(1, 2), keepdims=True)
    return ((grid - low) / (high - low))[:, :height, :width]

"""Blurs: by a lens, by frosted glass, by motion, by a zoom."""

from itertools import product

import numpy as np

from flowjax_ood.data.random import Streams


def gaussian_blur(x: np.ndarray, streams: Streams, sigma: float) -> np.ndarray:
    """Convolve with a Gaussian of `sigma` pixels; edge pixels repeat outwards."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (0, sigma, sigma, 0), mode="nearest")


def defocus_blur(
    x: np.ndarray, streams: Streams, radius: float, softness: float
) -> np.ndarray:
    """Convolve with a disk of `radius` pixels, whose edge is softened a little.

    `softness` is the sigma, in pixels, of a Gaussian of 3 x 3 taps (5 x 5 for disks
    wider than 8). The image is mirrored at its edges.
    """
    kernel = disk(radius, softness)
    reach = len(kernel) // 2
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "reflect")
    out = np.zeros_like(x)
    for i, j in np.argwhere(kernel > 1e-6):
        out += kernel[i, j] * padded[:, i : i + height, j : j + width]
    return out


def disk(radius: float, softness: float) -> np.ndarray:
    """Make the kernel of `defocus_blur`: float32 `[K, K]` that sums to 1."""
    wide = radius > 8
    reach = int(radius) + (2 if wide else 1)
    at = np.arange(-reach, reach + 1)
    taps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * softness**2))
    if not wide:
        taps[[0, 4]] = 0
    kernel = (at[:, None] ** 2 + at**2 <= radius**2).astype(float)
    for axis in (0, 1):
        kernel = np.apply_along_axis(np.convolve, axis, kernel, taps, mode="same")
    return (kernel / kernel.sum()).astype(np.float32)


def glass_blur(
    x: np.ndarray, streams: Streams, sigma: float, reach: float, rounds: int
) -> np.ndarray:
    """Swap pixels at random with near ones, between two Gaussian blurs.

    `rounds` times, from the last pixel to the first, each pixel at least `reach` from
    the edges changes places with one at most `reach` rows and columns away.
    """
    reach = max(1, round(reach))
    height, width = x.shape[1:3]
    rows, columns = (range(side - reach, reach, -1) for side in (height, width))
    inner = list(product(rows, columns))
    # Hendrycks & Dietterich: from -reach to reach - 1
    steps = np.floor(streams.uniform(rounds * len(inner), 2) * (2 * reach)) - reach
    steps = steps.astype(np.int32) @ np.array([width, 1], np.int32)
    # pixel by pixel, all images at once: origin[p, n] is where pixel p came from
    images = np.arange(len(x))
    origin = np.repeat(np.arange(height * width, dtype=np.int32)[:, None], len(x), 1)
    for count, (row, column) in enumerate(inner * rounds):
        here = row * width + column
        there = here + steps[:, count]
        own = origin[here].copy()
        origin[here] = origin[there, images]
        origin[there, images] = own
    pixels = gaussian_blur(x, streams, sigma).reshape(len(x), height * width, -1)
    pixels = np.take_along_axis(pixels, origin.T[..., None], axis=1)
    return gaussian_blur(pixels.reshape(x.shape), streams, sigma)


def motion_blur(
    x: np.ndarray, streams: Streams, radius: float, sigma: float
) -> np.ndarray:
    """Apply `streak` along a direction from U[-45, 45) degrees off the horizontal."""
    angles = np.pi / 2 * (streams.uniform() - 0.5)
    return streak(x, angles, radius, sigma)


def streak(
    x: np.ndarray, angles: np.ndarray, radius: float, sigma: float
) -> np.ndarray:
    """`out[p] = sum_i w_i x[p + i d]`: each pixel drawn out along a line.

    One half of a Gaussian: `w_i` in proportion to `exp(-i^2 / 2 sigma^2)` for
    `i = 0 ... 2 radius`, with d the unit vector of the image's angle (radians `[N]`,
    0 to the right, pi/2 down) and `i d` rounded to whole pixels. Edge pixels repeat
    outwards.
    """
    height, width = x.shape[1:3]
    # what lies beyond 4 sigma weighs less than 0.0003
    taps = np.arange(min(int(np.ceil(2 * radius)), int(np.ceil(4 * sigma))) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(np.float32)
    reach = int(taps[-1])
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "edge")
    rows = np.rint(taps * np.sin(angles)[:, None]).astype(int) + reach
    columns = np.rint(taps * np.cos(angles)[:, None]).astype(int) + reach
    out = np.zeros_like(x)
    # image by image: directions differ, and slices of one image stay in the cache
    for image, target, down, right in zip(padded, out, rows, columns):
        for weight, i, j in zip(weights, down, right):
            target += weight * image[i : i + height, j : j + width]
    return out


def zoom_blur(x: np.ndarray, streams: Streams, count: int, step: float) -> np.ndarray:
    """Average the image and `count` copies zoomed by 1, 1 + step, 1 + 2 step, ..."""
    total = x.copy()
    for k in range(count):
        total += zoom(x, 1 + k * step)
    return total / np.float32(count + 1)


def zoom(x: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge images `factor` (at least 1) times about their centre, bilinear."""
    for axis in (1, 2):
        size = x.shape[axis]
        centre = (size - 1) / 2
        at = centre + (np.arange(size) - centre) / factor
        low = np.minimum(at.astype(int), size - 2)
        shape = [size if a == axis else 1 for a in range(4)]
        weight = (at - low).astype(np.float32).reshape(shape)
        x = (1 - weight) * x.take(low, axis) + weight * x.take(low + 1, axis)
    return x

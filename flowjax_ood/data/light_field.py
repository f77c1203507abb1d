"""Volumes of stacked images, and what a light-field microscope would see of them.

A lenslet array sees a volume from several directions: a plane at depth d appears
shifted by its disparity, and the planes add up ("shift and sum"). Source: Levoy et al.
2006; Page Vizcaino et al. 2024, whose task this is in small.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.random import Streams, bits

# a float32 below 1
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def volumes(images: np.ndarray, count: int, planes: int, seed: int) -> np.ndarray:
    """`count` volumes of `planes` images each: float32 `[count, H, W, planes]`.

    `images`: uint8 `[N, H, W, 1]`. A plane is an image drawn from them, dequantised,
    `(k + u) / 256` in [0, 1). Volume i is a function of `(seed, i)`. Raises ValueError
    for images of another kind, and for none.
    """
    count = whole_number("count", count, least=0)
    planes = whole_number("planes", planes, least=1)
    seed = whole_number("seed", seed, least=0)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 1:
        raise ValueError(
            f"volumes are made of uint8 images [N, H, W, 1], got {images.dtype} of "
            f"shape {images.shape}; make colour images grey by data.to_grayscale"
        )
    if not len(images):
        raise ValueError("volumes are made of images, and there are none")
    rows = [bits(planes, seed, "volumes", row) for row in range(count)]
    chosen = (np.array(rows).reshape(count, planes) % len(images)).astype(np.int64)
    stacked = np.moveaxis(images[chosen][..., 0], 1, -1).astype(np.float32)
    noise = Streams(seed, "volumes", range(count)).uniform(*stacked.shape[1:])
    return np.minimum((stacked + noise) / np.float32(256), BELOW_ONE)


def light_field(
    volumes: np.ndarray,
    *,
    views: int = 5,
    disparities: Sequence[float] | None = None,
    scale: float = 1.0,
    noise: float = 0.02,
    seed: int,
    rows: Iterable[int] | None = None,
) -> np.ndarray:
    """`y_k = mean_d shift(x_d, scale * k * disparity_d) + noise * N(0, 1)`, all views.

    `volumes`: floating-point `[N, H, W, D]`. Returns float32 `[N, H, W, views]`, k from
    `-(views - 1) / 2` to `(views - 1) / 2`. `shift(x, p)` moves a plane right by p
    pixels, between whole pixels by linear interpolation; what comes in is dark.

    * `disparities`: pixels a view for each plane; ..., -3, -1, 1, 3, ... unless given;
    * `scale`: of all disparities: other optics;
    * `rows`: positions of the volumes, 0 ... N - 1 unless given. The noise of a volume
      is a function of `(seed, row)`.

    Raises ValueError for volumes that are not floating-point `[N, H, W, D]`, another
    number of disparities or rows, and for a noise or scale that is negative or not
    finite.
    """
    views = whole_number("views", views, least=1)
    seed = whole_number("seed", seed, least=0)
    if volumes.ndim != 4 or not np.issubdtype(volumes.dtype, np.floating):
        raise ValueError(
            f"volumes must be floating-point [N, H, W, D], got {volumes.dtype} of "
            f"shape {volumes.shape}; data.light_field.volumes makes them of images"
        )
    for name, value in (("scale", scale), ("noise", noise)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must not be negative or infinite, got {value}")
    planes = volumes.shape[-1]
    if disparities is None:
        disparities = (2.0 * np.arange(planes) - (planes - 1)).tolist()
    moves = np.asarray(disparities, float)
    if moves.shape != (planes,) or not np.isfinite(moves).all():
        raise ValueError(
            f"there must be a finite disparity for each of the {planes} planes, got "
            f"{moves.tolist()}"
        )
    rows = list(range(len(volumes)) if rows is None else rows)
    if len(rows) != len(volumes):
        raise ValueError(f"got {len(rows)} rows for {len(volumes)} volumes")
    x = volumes.astype(np.float32)
    y = np.zeros((*x.shape[:3], views), np.float32)
    for i, k in enumerate(np.arange(views) - (views - 1) / 2):
        for d, disparity in enumerate(moves):
            y[..., i] += shifted(x[..., d], scale * k * disparity) / planes
    return y + np.float32(noise) * Streams(seed, "light field", rows).normal(
        *y.shape[1:]
    )


def shifted(images: np.ndarray, pixels: float) -> np.ndarray:
    """`images [N, H, W]` moved right by `pixels`, zeros coming in; linear between."""
    whole = math.floor(pixels)
    part = np.float32(pixels - whole)
    moved = _moved(images, whole)
    return moved if not part else (1 - part) * moved + part * _moved(images, whole + 1)


def _moved(images, pixels: int):
    out = np.zeros_like(images)
    width = images.shape[2]
    if pixels >= 0:
        out[:, :, pixels:] = images[:, :, : max(width - pixels, 0)]
    else:
        out[:, :, : max(width + pixels, 0)] = images[:, :, -pixels:]
    return out

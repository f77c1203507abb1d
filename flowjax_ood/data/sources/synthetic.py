"""Source `synthetic`: fake images and vectors for tests, smoke runs and throughput."""

import hashlib
import math

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.checks import unknown
from flowjax_ood.data.random import bits, generator
from flowjax_ood.data.sets import ImageSet, VectorSet

# Side and channels. Names of real sets are there so that a config's source alone can be
# swapped; the images are as fake as the others.
SHAPES = {
    **dict.fromkeys(("synthetic", "fashion_mnist", "mnist", "notmnist"), (28, 1)),
    **dict.fromkeys(
        ("synthetic_rgb", "cifar10", "svhn", "svhn_cropped", "celeba"), (32, 3)
    ),
    "imagenet64": (64, 3),
}
# Features by set. As above, names of real sets are there for smoke runs.
DIMS = {
    **dict.fromkeys(("synthetic", "synthetic_ood"), 8),
    **dict.fromkeys(("hepmass0", "hepmass1"), 15),
    **dict.fromkeys(("miniboone0", "miniboone1"), 50),
    # EfficientNet-Lite0's, and EfficientNet-B4's
    **dict.fromkeys(("fashion_mnist", "mnist"), 1280),
    **dict.fromkeys(("cifar10", "svhn", "svhn_cropped", "celeba"), 1792),
}
SPLITS = ("train", "train10k", "validation", "test", "extra")
VECTOR_SPLITS = ("train", "validation", "test", "all")
DEFAULT_COUNT = 1024
CLASSES, VECTOR_CLASSES = 10, 4
# that the features of a vector have in common
FACTORS = 4
_CHUNK = 4096  # images made at a time


def load_synthetic(
    name: str,
    split: str,
    *,
    limit: int | None = None,
    image_size: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Make `limit` (1024) smooth fake images `[N, size, size, C]` with labels 0 to 9.

    An image is 5/8 the template of its class and 3/8 noise of its own, both on a coarse
    grid, interpolated bilinearly: neighbouring pixels agree, as in photographs, and
    classes can be told apart. Templates follow from (seed, name), so that the splits of
    a name are of one distribution; labels and noise from (seed, name, split). The first
    n images do not depend on `limit`. The same on every platform: all of it is integer
    arithmetic on Philox bits.
    """
    if name not in SHAPES:
        raise unknown("a synthetic data set", name, SHAPES)
    if split not in SPLITS:
        raise unknown(f"a split of synthetic {name!r}", split, SPLITS)
    seed = whole_number("seed", seed, least=0)
    size, channels = SHAPES[name]
    size = size if image_size is None else image_size
    count = DEFAULT_COUNT if limit is None else limit
    # Between 4 and 7 grid points a side: names differ in smoothness too.
    grid = 4 + hashlib.sha256(name.encode()).digest()[0] % 4
    cell = (grid, grid, channels)

    templates = _bytes(seed, f"{name}/templates", (CLASSES, *cell))
    labels = bits(count, seed, f"{name}:{split}/labels") % CLASSES
    noise = _bytes(seed, f"{name}:{split}/noise", (count, *cell))
    images = np.empty((count, size, size, channels), np.uint8)
    for start in range(0, count, _CHUNK):  # float64 intermediates: bounded memory
        rows = slice(start, start + _CHUNK)
        images[rows] = _interpolate(5 * templates[labels[rows]] + 3 * noise[rows], size)
    return ImageSet(
        name,
        split,
        images,
        labels.astype(np.int32),
        "synthetic",
        f"FAKE images made by flowjax_ood, seed {seed}: not the data set {name!r}",
    )


def load_synthetic_vectors(
    name: str, split: str, *, limit: int | None = None, seed: int = 0
) -> VectorSet:
    """Make `limit` (1024) fake vectors with labels 0 to 3: correlated clusters.

    `x = mean[label] + A f + e / 2`, with factors f and noise e from N(0, I); means and
    A follow from (seed, name), so that the splits of a name are of one distribution,
    and other names are elsewhere.
    """
    if name not in DIMS:
        raise unknown("a synthetic set of vectors", name, DIMS)
    if split not in VECTOR_SPLITS:
        raise unknown(f"a split of synthetic {name!r}", split, VECTOR_SPLITS)
    dims, count = DIMS[name], DEFAULT_COUNT if limit is None else limit
    shape = generator(seed, name)
    means = shape.standard_normal((VECTOR_CLASSES, dims)) + shape.standard_normal(dims)
    loadings = shape.standard_normal((FACTORS, dims)) / 2
    draw = generator(seed, f"{name}:{split}")
    labels = draw.integers(0, VECTOR_CLASSES, count)
    vectors = means[labels] + draw.standard_normal((count, FACTORS)) @ loadings
    vectors += draw.standard_normal((count, dims)) / 2
    return VectorSet(
        name,
        split,
        vectors.astype(np.float32),
        labels.astype(np.int32),
        "synthetic",
        f"FAKE vectors made by flowjax_ood, seed {seed}: not the data set {name!r}",
    )


def _interpolate(grids: np.ndarray, size: int) -> np.ndarray:
    """Bilinear: values in eighths `[N, g, g, C]` -> uint8 `[N, size, size, C]`."""
    g = grids.shape[1]
    span = max(size - 1, 1)
    # Pixel i lies at i * (g - 1) / span in grid units; weights are in units of 1/span.
    cell, offset = np.divmod(np.arange(size) * (g - 1), span)
    weights = np.zeros((size, g))
    weights[np.arange(size), cell] = span - offset
    weights[np.arange(size), np.minimum(cell + 1, g - 1)] += offset
    # Whole numbers below 2^53 in float64: exact in whatever order BLAS adds them up.
    cells = np.moveaxis(grids, 3, 1).reshape(-1, g * g)
    pixels = cells @ np.kron(weights, weights).T
    pixels = (pixels.astype(np.int64) // (8 * span * span)).astype(np.uint8)
    return np.moveaxis(pixels.reshape(len(grids), -1, size, size), 1, 3)


def _bytes(seed: int, text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers 0 ... 255 as float64, of (seed, text)."""
    raw = bits(math.prod(shape), seed, text)
    return (raw >> np.uint64(56)).astype(np.float64).reshape(shape)

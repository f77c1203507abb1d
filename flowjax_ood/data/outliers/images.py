"""Synthetic outliers made of in-distribution images alone.

They stand in for out-of-distribution data wherever none may be seen: to choose a
detector's settings, and as the outliers of Outlier Exposure. They are training images
taken apart, and noise; nothing in them imitates any set that a detector is tested on.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.corruptions.blur import gaussian_blur
from flowjax_ood.data.corruptions.weather import plasma
from flowjax_ood.data.outliers.rows import chosen_kinds, kinds_of_rows
from flowjax_ood.data.random import Streams
from flowjax_ood.data.sets import check_images

NOISE = ("uniform_noise", "clouds")


def pseudo_outliers(
    images: np.ndarray,
    seed: int,
    kinds: Sequence[str] | None = None,
    *,
    rows: Iterable[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make an outlier of each image: `(outliers, kind)`.

    Args:
        images: uint8 `[N, H, W, C]`, in-distribution, C 1 or 3.
        seed: not negative.
        kinds: names from `KINDS`, all of them if None. FSSD measures distances from the
            features of noise: for it, leave out those in `NOISE`.
        rows: make only the outliers of these images (0 to N - 1); all if None. They
            equal those rows of all outliers.

    Returns:
        uint8 `[len(rows), H, W, C]`, and int32 `[len(rows)]`, an index of `kinds`. Each
        run of `len(kinds)` images, from the first, has every kind once, in an order of
        its own: kinds have equal shares. An outlier follows from (seed, row, kinds,
        images).

    Raises:
        ValueError: an unknown kind, `"rotated"` of images that are not square, a single
            image where two are mixed, images below 8 pixels a side.
        TypeError: images that are not uint8.
    """
    check_images(images, "pseudo_outliers")
    kinds = chosen_kinds(kinds, KINDS)
    _check(images, kinds)
    seed = whole_number("seed", seed, least=0)
    rows, kind = kinds_of_rows(
        rows, len(images), len(kinds), seed, "pseudo-outliers kinds"
    )
    outliers = np.empty((len(rows), *images.shape[1:]), np.uint8)
    for index, name in enumerate(kinds):
        mine = np.flatnonzero(kind == index)
        # parts of the work: floats of all images at once may not fit in memory
        for part in np.array_split(mine, -(-len(mine) // 1024)) if len(mine) else ():
            streams = Streams(seed, f"pseudo-outliers {name}", rows[part])
            outliers[part] = KINDS[name](images, rows[part], streams)
    return outliers, kind


def _check(images: np.ndarray, kinds: tuple[str, ...]) -> None:
    _, height, width, _ = images.shape
    if min(height, width) < 8:
        raise ValueError(
            f"images of {height} x {width} are too small to be cut into patches: at "
            "least 8 pixels a side"
        )
    if "rotated" in kinds and height != width:
        raise ValueError(
            f"images of {height} x {width} turned by 90 degrees have another shape; "
            "leave 'rotated' out of kinds"
        )
    mixed = [name for name in kinds if name in ("patches_mixed", "averaged")]
    if mixed and len(images) == 1:
        raise ValueError(f"{mixed[0]!r} needs two images; leave it out of kinds")


# --- one function a kind: all images, the rows wanted, their streams -> outliers -----


def _pixels_permuted(images, rows, streams):
    """All pixels of an image in a random order."""
    count, height, width, channels = images[rows].shape
    order = np.argsort(streams.uniform(height * width), axis=1, kind="stable")
    pixels = images[rows].reshape(count, height * width, channels)
    return np.take_along_axis(pixels, order[..., None], 1).reshape(images[rows].shape)


def _patches_permuted(images, rows, streams):
    """The 4 x 4 patches of an image in a random order."""
    out = images[rows]
    patches = _patches(out)
    count = patches.shape[1]
    order = np.argsort(streams.uniform(count), axis=1, kind="stable")
    _put(out, np.take_along_axis(patches, order[:, :, None, None, None], 1))
    return out


def _patches_mixed(images, rows, streams):
    """Half of the 4 x 4 patches, in place, from another image."""
    out = images[rows]
    other = _patches(images[partners(images, rows, streams)])
    patches = _patches(out)
    count = patches.shape[1]
    rank = np.argsort(streams.uniform(count), axis=1, kind="stable")
    _put(out, np.where((rank < count // 2)[..., None, None, None], other, patches))
    return out


def _averaged(images, rows, streams):
    """The mean of two images."""
    other = images[partners(images, rows, streams)]
    return ((images[rows].astype(np.uint16) + other + 1) // 2).astype(np.uint8)


def _blurred(images, rows, streams):
    """A Gaussian blur of 1/14 of the side."""
    x = images[rows].astype(np.float32)
    return np.rint(gaussian_blur(x, streams, min(images.shape[1:3]) / 14))


def _inverted(images, rows, streams):
    """`255 - k`."""
    return 255 - images[rows]


def _rotated(images, rows, streams):
    """By 90 or by 270 degrees: by 180, many things look as before."""
    turned = np.rot90(images[rows], axes=(1, 2))
    back = streams.uniform(1, 1, 1) < 0.5
    return np.where(back, turned[:, ::-1, ::-1], turned)


def _uniform_noise(images, rows, streams):
    """Each value uniform on 0 to 255."""
    return np.floor(256 * streams.uniform(*images.shape[1:]))


def _clouds(images, rows, streams):
    """Smooth noise, light and dark patches of all sizes; of its own in each channel."""
    height, width, channels = images.shape[1:]
    layers = [plasma(streams, height, width, 0.5) for _ in range(channels)]
    return np.rint(255 * np.stack(layers, axis=3))


# name -> what is done to an image
KINDS = {
    "pixels_permuted": _pixels_permuted,
    "patches_permuted": _patches_permuted,
    "patches_mixed": _patches_mixed,
    "averaged": _averaged,
    "blurred": _blurred,
    "inverted": _inverted,
    "rotated": _rotated,
    "uniform_noise": _uniform_noise,
    "clouds": _clouds,
}


def partners(images: np.ndarray, rows: np.ndarray, streams: Streams) -> np.ndarray:
    """Draw another row for each row."""
    step = 1 + np.floor((len(images) - 1) * streams.uniform().astype(float)).astype(int)
    return (rows + step) % len(images)


def _patches(images: np.ndarray) -> np.ndarray:
    """`[N, H, W, C]` -> `[N, patches, h, w, C]`, 4 x 4 of them, row by row.

    What is left at the right and at the bottom belongs to none.
    """
    count, height, width, channels = images.shape
    h, w = height // 4, width // 4
    grid = images[:, : 4 * h, : 4 * w].reshape(count, 4, h, 4, w, channels)
    return grid.swapaxes(2, 3).reshape(count, 16, h, w, channels)


def _put(images: np.ndarray, patches: np.ndarray) -> None:
    """Writes what `_patches` has read."""
    count, _, h, w, channels = patches.shape
    grid = patches.reshape(count, 4, 4, h, w, channels).swapaxes(2, 3)
    images[:, : 4 * h, : 4 * w] = grid.reshape(count, 4 * h, 4 * w, channels)

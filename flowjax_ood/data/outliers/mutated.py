"""Images with some of their values replaced, to train a background flow on."""

import math
import numbers

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.random import Streams
from flowjax_ood.data.sets import check_images

# floats of all images at once may not fit in memory
_CHUNK = 1024


def mutated(
    images: np.ndarray, mu: float, seed: int, *, levels: int = 256
) -> np.ndarray:
    """Replace each value, with probability mu, by another one, all others as likely.

    Source: Ren et al. 2019, section 3, where mu is 0.1 to 0.3.

    Args:
        images: uint8 `[N, H, W, C]`, values below `levels`.
        mu: in [0, 1]. Fix it before any outlier is seen.
        seed: not negative; other seeds give independent mutations, one for each epoch.
        levels: how many values there are, 2 to 256.

    Returns:
        uint8 of the same shape. An image follows from (seed, row, image).

    Raises:
        ValueError: mu or levels out of range, or a value that is not below `levels`.
        TypeError: images that are not uint8.
    """
    check_images(images, "mutated")
    real = isinstance(mu, numbers.Real) and not isinstance(mu, bool)
    if not real or math.isnan(mu) or not 0 <= mu <= 1:
        raise ValueError(f"mu must be a probability in [0, 1], got {mu!r}")
    seed = whole_number("seed", seed, least=0)
    levels = whole_number("levels", levels, least=2)
    if not images.max() < levels <= 256:
        raise ValueError(
            f"levels must be at most 256 and above all values; got {levels}, and the "
            f"largest value is {images.max()}"
        )
    out = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _CHUNK):
        x = images[start : start + _CHUNK]
        streams = Streams(seed, "mutated", range(start, start + len(x)))
        out[start : start + _CHUNK] = replaced(x, mu, streams, levels)
    return out


def replaced(x: np.ndarray, mu: float, streams: Streams, levels: int) -> np.ndarray:
    """Replace values with probability mu: int32 of the shape of `x` `[N, H, W, C]`."""
    drawn = streams.uniform(2, *x.shape[1:])
    step = 1 + np.floor((levels - 1) * drawn[:, 1]).astype(np.int32)
    return np.where(drawn[:, 0] < mu, (x + step) % levels, x)

"""Kinds of the battery that change what values pixels have, not where they are.

Each takes all images, the rows wanted and their streams, and returns `[M, H, W, C]`:
uint8, or numbers to be rounded and clipped.
"""

import numpy as np

from flowjax_ood.data.corruptions import digital
from flowjax_ood.data.outliers.images import partners
from flowjax_ood.data.outliers.mutated import replaced
from flowjax_ood.data.preprocess import ALTERATIONS

# standard deviation of "noisy", a share of the range of values
NOISE = 0.1
SALT_AND_PEPPER = 0.02
# Ren et al. 2019: pixels of the background model, as of `pseudo_outlier_tokens`
MUTATED = 0.2
# side of the square that is cut out, a share of the image's: 10 of 28 pixels
CUTOUT = 10 / 28


def dimmed(images, rows, streams):
    """`k // 2`."""
    return ALTERATIONS["dimmed"](images[rows], 256)


def bright(images, rows, streams):
    """`255 - (255 - k) // 2`: the negative, dimmed, and its negative again."""
    return 255 - (255 - images[rows]) // 2


def noisy(images, rows, streams):
    """Gaussian noise of a tenth of the range."""
    x = images[rows].astype(np.float32) / 255
    return 255 * digital.gaussian_noise(x, streams, NOISE)


def mutated(images, rows, streams):
    """Each value, with probability 0.2, another one, all others as likely."""
    return replaced(images[rows], MUTATED, streams, 256)


def salt_and_pepper(images, rows, streams):
    """Each pixel, with probability 0.02, black or white, all channels alike."""
    x = images[rows]
    drawn = streams.uniform(*x.shape[1:3], 1)
    x = np.where(drawn < SALT_AND_PEPPER / 2, 0, x)
    return np.where(drawn >= 1 - SALT_AND_PEPPER / 2, 255, x)


def cutout(images, rows, streams):
    """A square of 10/28 of the side, anywhere, of the image's mean colour.

    Source: DeVries and Taylor 2017, where it is the mean of the set.
    """
    out = images[rows]
    height, width = out.shape[1:3]
    side = round(CUTOUT * min(height, width))
    corners = streams.uniform(2) * [height - side + 1, width - side + 1]
    mean = np.rint(out.mean((1, 2)))
    for image, (top, left), colour in zip(out, corners.astype(int), mean):
        image[top : top + side, left : left + side] = colour
    return out


def half_of_another(images, rows, streams):
    """The left half of another image, and its own right half."""
    out = images[rows]
    half = out.shape[2] // 2
    out[:, :, :half] = images[partners(images, rows, streams)][:, :, :half]
    return out


def edges(images, rows, streams):
    """The length of Sobel's gradient, each image scaled to its largest value."""
    from scipy.ndimage import correlate1d

    x = images[rows].astype(np.float32)
    slopes = []
    for across, along in ((1, 2), (2, 1)):
        # `ndimage.sobel` would smooth over images and channels, too
        smooth = correlate1d(x, (1, 2, 1), across, mode="nearest")
        slopes.append(correlate1d(smooth, (-1, 0, 1), along, mode="nearest"))
    length = np.hypot(*slopes)
    highest = length.max((1, 2, 3), keepdims=True)
    return 255 * length / np.where(highest > 0, highest, 1)

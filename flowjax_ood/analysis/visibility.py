"""How much of an image is visible in its latents (paper, Sec. 5).

The paper shows latents whose edges are those of the image, for images of any set. Here
that is a number. The *local structure* of an image or of its latents is the length of
its gradient, by central differences; how well the two agree is their correlation over
positions, image by image. Latents are compared to the edges of other images of the set,
too: what all images of a set have in common (an object in the middle, an empty margin)
agrees with these as well.
"""

from typing import NamedTuple

import numpy as np


class Visibility(NamedTuple):
    """Agreement of latents with the edges of images, from N images.

    `own [N]`: correlation of the local structure of each latent with that of its image,
    in [-1, 1]; `other [N]`: with that of the N - 1 other images, on average; `first
    [N]`: 1 where no other image's edges agree better, 1/k where k images share the
    first place, 0 elsewhere: its mean is 1/N by chance.
    """

    own: np.ndarray
    other: np.ndarray
    first: np.ndarray

    def measures(self) -> dict[str, float]:
        """Their means over images, with the standard deviation of `own`."""
        return {
            "correlation": float(self.own.mean()),
            "correlation_sd": float(self.own.std()),
            "correlation_others": float(self.other.mean()),
            "identified": float(self.first.mean()),
        }


def local_structure(images) -> np.ndarray:
    """`sqrt(sum over channels of (dx^2 + dy^2))`, float64 `[N, H-2, W-2]`.

    Of images or latents `[N, H, W, C]`, by central differences, `dx = (a[x+1] -
    a[x-1]) / 2`, without the border. Values two positions apart lie in the same part of
    a checkerboard, and in the same channel of one squeeze: differences of neighbours
    would show the pattern of the mask, which is the same for all images.
    """
    a = np.asarray(images, np.float64)
    if a.ndim != 4 or min(a.shape[1:3]) < 3:
        raise ValueError(
            f"images must be [N, H, W, C] of at least 3 x 3 pixels, got {a.shape}"
        )
    dy = a[:, 2:, 1:-1] - a[:, :-2, 1:-1]
    dx = a[:, 1:-1, 2:] - a[:, 1:-1, :-2]
    return np.sqrt((dx * dx + dy * dy).sum(-1)) / 2


def visibility(images, latents) -> Visibility:
    """Measure how visible images `[N, H, W, C]` are in their latents, laid out so too.

    Latents averaged over draws of the dequantisation noise show more than one draw: the
    noise of dark pixels is large in logit space. An image or latent without any
    structure agrees with nothing: 0. Raises ValueError for fewer than two images, or
    shapes that differ.
    """
    images, latents = np.asarray(images), np.asarray(latents)
    if images.shape != latents.shape or len(images) < 2:
        raise ValueError(
            f"images {images.shape} and latents {latents.shape} must have one shape "
            "[N, H, W, C], N at least 2"
        )
    if not np.isfinite(latents).all():
        raise ValueError("latents hold values that are not finite")
    edges, structure = (_standardised(local_structure(a)) for a in (images, latents))
    agreement = structure @ edges.T
    own = np.diagonal(agreement).copy()
    other = (agreement.sum(1) - own) / (len(own) - 1)
    best = agreement >= own[:, None]
    beaten = (agreement > own[:, None]).any(1)
    first = np.where(beaten, 0.0, 1 / best.sum(1))
    return Visibility(own, other, first)


def _standardised(maps: np.ndarray) -> np.ndarray:
    """Rows `[N, K]` of mean 0 and length 1; zeros for a constant map."""
    rows = maps.reshape(len(maps), -1)
    rows = rows - rows.mean(1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)

"""How much samples resemble real images, measured without another network.

Three ratios of a measure on samples to the same measure on real images of the set;
1 is as real images are. None is enough alone: copies of one real image have
no `distance`, and copies of the mean image less of it than real images have; the other
two ratios give both away.
"""

from typing import NamedTuple

import numpy as np

MEASURED = 1000  # images at most whose nearest neighbours and pairs are measured


class Fidelity(NamedTuple):
    """Ratios of samples to real images.

    distance: of L2 distances to the nearest reference image, medians. Above 1:
        farther from all real images than real images are from each other.
    roughness: of mean absolute differences of neighbouring pixels (total variation
        per pair of pixels). Above 1: noisier than real images; below: smoother.
    spread: of mean L2 distances between pairs of images. Below 1: less varied.
    """

    distance: float
    roughness: float
    spread: float


class RealImages:
    """Real images to measure samples against; best such as were not trained on.

    Every second image, at most `reference` of them, is a candidate for nearest
    neighbours; the others are real images as new to these as samples are.

    Args:
        images: uint8 `[N, H, W, C]`, N at least 4.
        reference: Candidates at most.

    Raises:
        ValueError: There are too few images, or they are too alike to measure by.
    """

    def __init__(self, images: np.ndarray, reference: int = 5000):
        _check(images, "real images", least=4)
        self.shape = images.shape[1:]
        self.reference = _vectors(images[::2][:reference])
        self.real = self._measured(images[1::2])
        for name, value in self.real._asdict().items():
            if not value > 0:
                raise ValueError(
                    f"the {name} of the real images is {value}: they are all alike, "
                    "and nothing can be measured by them"
                )

    def fidelity(self, samples: np.ndarray) -> Fidelity:
        """Measure samples, uint8 `[N, H, W, C]`, N at least 2; others: ValueError."""
        _check(samples, "samples", least=2)
        if samples.shape[1:] != self.shape:
            raise ValueError(
                f"samples of shape {samples.shape[1:]} cannot be compared with real "
                f"images of {self.shape}"
            )
        return Fidelity(*np.divide(self._measured(samples), self.real).tolist())

    def _measured(self, images: np.ndarray) -> Fidelity:
        """Measure images by the reference alone: the ratios' numerators."""
        vectors = _vectors(images[:MEASURED])
        nearest = _distances(vectors, self.reference).min(1)
        pairs = _distances(vectors, vectors)[np.triu_indices(len(vectors), 1)]
        pixels = images.astype(np.float32) / 255
        steps = [np.abs(np.diff(pixels, axis=axis)).mean() for axis in (1, 2)]
        return Fidelity(*map(float, (np.median(nearest), np.mean(steps), pairs.mean())))


def _check(images: np.ndarray, what: str, least: int) -> None:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            f"{what} must be uint8 [N, H, W, C], not {images.dtype} of shape "
            f"{images.shape}"
        )
    if len(images) < least:
        raise ValueError(f"fidelity needs at least {least} {what}, got {len(images)}")


def _vectors(images: np.ndarray) -> np.ndarray:
    # float64: distances are small differences of large squares
    return images.reshape(len(images), -1) / 255


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    return np.sqrt(np.maximum(squares, 0))

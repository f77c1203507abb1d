"""How much samples resemble real images, measured without another network.

Three ratios of a measure on samples to the same measure on real images of the set;
1 is as real images are. None is enough alone: copies of one real image have
no `distance`, and copies of the mean image less of it than real images have; the other
two ratios give both away.
"""

from typing import NamedTuple

import numpy as np

MEASURED = 1000  # images at most whose nearest neighbours and pairs are measured


class SampleFidelity(NamedTuple):
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
        bins: How many values a pixel has; of more than 256, images are uint16.

    Raises:
        ValueError: There are too few images, or they are too alike to measure by.
    """

    def __init__(self, images: np.ndarray, reference: int = 5000, bins: int = 256):
        self.top = bins - 1
        self.dtype = np.uint8 if bins <= 256 else np.uint16
        self._check(images, "real images", least=4)
        self.shape = images.shape[1:]
        self.reference = self._vectors(images[::2][:reference])
        self.real = self._measured(images[1::2])
        for name, value in self.real._asdict().items():
            if not value > 0:
                raise ValueError(
                    f"the {name} of the real images is {value}: they are all alike, "
                    "and nothing can be measured by them"
                )

    def fidelity(self, samples: np.ndarray) -> SampleFidelity:
        """Measure samples, stored as the images are, at least 2; else ValueError."""
        self._check(samples, "samples", least=2)
        if samples.shape[1:] != self.shape:
            raise ValueError(
                f"samples of shape {samples.shape[1:]} cannot be compared with real "
                f"images of {self.shape}"
            )
        return SampleFidelity(*np.divide(self._measured(samples), self.real).tolist())

    def _measured(self, images: np.ndarray) -> SampleFidelity:
        """Measure images by the reference alone: the ratios' numerators."""
        vectors = self._vectors(images[:MEASURED])
        nearest = _distances(vectors, self.reference).min(1)
        pairs = _distances(vectors, vectors)[np.triu_indices(len(vectors), 1)]
        pixels = images.astype(np.float32) / self.top
        steps = [np.abs(np.diff(pixels, axis=axis)).mean() for axis in (1, 2)]
        return SampleFidelity(
            *map(float, (np.median(nearest), np.mean(steps), pairs.mean()))
        )

    def _check(self, images: np.ndarray, what: str, least: int) -> None:
        images = np.asarray(images)
        if images.dtype != self.dtype or images.ndim != 4:
            raise ValueError(
                f"{what} must be {np.dtype(self.dtype)} [N, H, W, C], not "
                f"{images.dtype} of shape {images.shape}"
            )
        if len(images) < least:
            raise ValueError(
                f"fidelity needs at least {least} {what}, got {len(images)}"
            )

    def _vectors(self, images: np.ndarray) -> np.ndarray:
        # float64: distances are small differences of large squares
        return images.reshape(len(images), -1) / self.top


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    return np.sqrt(np.maximum(squares, 0))

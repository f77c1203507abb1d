"""Noise of the sensor: each value is changed on its own.

Every function takes float32 images `[N, H, W, C]` in [0, 1] and returns such images,
which may leave [0, 1]: `corrupt` clips them.
"""

import numpy as np

from flowjax_ood.data.random import Streams


def gaussian_noise(x: np.ndarray, streams: Streams, scale: float) -> np.ndarray:
    """`x + scale N(0, 1)`."""
    return x + np.float32(scale) * streams.normal(*x.shape[1:])


def shot_noise(x: np.ndarray, streams: Streams, photons: float) -> np.ndarray:
    """`Poisson(photons x) / photons`: of mean x and variance x / photons."""
    return streams.poisson(np.float32(photons) * x) / np.float32(photons)


def impulse_noise(x: np.ndarray, streams: Streams, amount: float) -> np.ndarray:
    """Each value is, with probability `amount`, 0 or 1 (each half of the time)."""
    u = streams.uniform(*x.shape[1:])
    x = np.where(u < amount / 2, np.float32(0), x)
    return np.where(u >= 1 - amount / 2, np.float32(1), x)


def speckle_noise(x: np.ndarray, streams: Streams, scale: float) -> np.ndarray:
    """`x + x scale N(0, 1)`."""
    return x + x * np.float32(scale) * streams.normal(*x.shape[1:])

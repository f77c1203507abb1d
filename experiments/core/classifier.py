"""The classifier of the commands that train a system of their own."""

import numpy as np

from flowjax_ood import models


def classifier(images: np.ndarray, classes: int) -> models.LeNet:
    """A LeNet that normalises by mean and deviation of these images' pixels, in [0, 1].

    `images` uint8 `[N, H, W, C]`. Both are by channel, of four decimals; a deviation is
    at least a level of 255, so a constant channel stays finite.
    """
    pixels = np.asarray(images, np.float64).reshape(-1, images.shape[-1]) / 255
    mean, std = pixels.mean(0), np.maximum(pixels.std(0), 1 / 255)
    centre, scale = (tuple(map(float, np.round(a, 4))) for a in (mean, std))
    return models.LeNet(classes, centre, scale)

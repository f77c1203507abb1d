"""Kinds of the battery that are noise or patterns, and so no images of anything.

Each takes all images, the rows wanted and their streams, and returns `[M, H, W, C]`:
uint8, or numbers to be rounded and clipped. All but `phase_scrambled` take only the
shape of images.
"""

import numpy as np


def constant(images, rows, streams):
    """One colour, any as likely."""
    level = np.floor(256 * streams.uniform(1, 1, images.shape[3]))
    return np.broadcast_to(level, images[rows].shape)


def gradients(images, rows, streams):
    """From one colour to another, in a straight line of any direction."""
    height, width, channels = images.shape[1:]
    colours = 255 * streams.uniform(2, channels)
    angle = 2 * np.pi * streams.uniform()
    down = np.linspace(-1, 1, height)[:, None] * np.sin(angle)[:, None, None]
    along = down + np.linspace(-1, 1, width) * np.cos(angle)[:, None, None]
    low, high = along.min((1, 2), keepdims=True), along.max((1, 2), keepdims=True)
    share = ((along - low) / (high - low))[..., None]
    first, last = colours[:, None, None, 0], colours[:, None, None, 1]
    return first + share * (last - first)


def chequers(images, rows, streams):
    """Squares of two colours in turn, of 1 pixel to a quarter of the side."""
    height, width, channels = images.shape[1:]
    size, down, right = np.floor(
        streams.uniform(3).T * [[min(height, width) // 4], [height], [width]]
    ).astype(int)
    dark = 128 * streams.uniform(1, 1, channels)
    light = 128 + 128 * streams.uniform(1, 1, channels)
    at = np.arange(max(height, width))
    row, column = ((at + d[:, None]) // (size + 1)[:, None] for d in (down, right))
    odd = (row[:, :height, None] + column[:, None, :width]) % 2 == 1
    return np.floor(np.where(odd[..., None], light, dark))


def phase_scrambled(images, rows, streams):
    """Phases of noise added to those of an image: its power spectrum stays.

    The same to all channels, so that their cross-spectra stay as well. Rounding and
    clipping to 0 ... 255 then change the spectrum a little. Source: the scrambled
    stimuli of vision research, such as Prins 2007.
    """
    x = images[rows].astype(np.float64)
    height, width = x.shape[1:3]
    # of real noise, so that phases of opposite frequencies are opposite
    noise = np.fft.fft2(
        streams.uniform(height, width, 1).astype(np.float64), axes=(1, 2)
    )
    # of positive noise, the mean has phase 0
    turn = np.exp(1j * np.angle(noise))
    return np.fft.ifft2(turn * np.fft.fft2(x, axes=(1, 2)), axes=(1, 2)).real

"""Kinds of the battery that move pixels: turned, mirrored, shifted, and zoomed.

Each takes all images, the rows wanted and their streams, and returns `[M, H, W, C]`:
uint8, or numbers to be rounded and clipped. What a movement leaves empty takes the
median of the image's border, channel by channel: black on a black ground.
"""

import numpy as np

from flowjax_ood.data.preprocess import ALTERATIONS

# share of the side: 7 of 28 pixels
SHIFT = 1 / 4
SMALLER, LARGER = 0.6, 1.5
ANGLE = 30  # degrees


def upside_down(images, rows, streams):
    """Rows in the other order."""
    return ALTERATIONS["upside_down"](images[rows], 256)


def rotated(images, rows, streams):
    """By 90 degrees, counter-clockwise."""
    return np.rot90(images[rows], 1, (1, 2))


def mirrored(images, rows, streams):
    """Left and right exchanged."""
    return images[rows][:, :, ::-1]


def rotated_180(images, rows, streams):
    """By 180 degrees."""
    return np.rot90(images[rows], 2, (1, 2))


def rotated_270(images, rows, streams):
    """By 270 degrees, counter-clockwise."""
    return np.rot90(images[rows], 3, (1, 2))


def transposed(images, rows, streams):
    """Rows and columns exchanged."""
    return images[rows].swapaxes(1, 2)


def antitransposed(images, rows, streams):
    """Rows and columns exchanged, and both in the other order."""
    return images[rows].swapaxes(1, 2)[:, ::-1, ::-1]


def shifted(images, rows, streams):
    """By a quarter of the side: up, down, left or right."""
    x = images[rows]
    height, width = x.shape[1:3]
    steps = round(SHIFT * height), round(SHIFT * width)
    directions = np.floor(4 * streams.uniform()).astype(int)
    out = np.broadcast_to(border(x), x.shape).copy()
    for image, moved, direction in zip(x, out, directions):
        axis, forward = direction // 2, direction % 2
        step = steps[axis]
        image, moved = image.swapaxes(0, axis), moved.swapaxes(0, axis)
        if forward:
            moved[step:] = image[:-step]
        else:
            moved[:-step] = image[step:]
    return out


def smaller(images, rows, streams):
    """Zoomed by 0.6 about the centre."""
    return _mapped(images[rows], np.eye(2) / SMALLER)


def larger(images, rows, streams):
    """Zoomed by 1.5 about the centre."""
    return _mapped(images[rows], np.eye(2) / LARGER)


def rotated_30(images, rows, streams):
    """By 30 degrees about the centre, to either side."""
    x = images[rows]
    out = np.empty(x.shape, np.float32)
    left = streams.uniform() < 0.5
    for turned, sign in ((left, 1), (~left, -1)):
        angle = sign * np.deg2rad(ANGLE)
        cos, sin = np.cos(angle), np.sin(angle)
        out[turned] = _mapped(x[turned], np.array([[cos, sin], [-sin, cos]]))
    return out


def border(x: np.ndarray) -> np.ndarray:
    """Median of the pixels at the edges: float32 `[N, 1, 1, C]`."""
    sides = [x[:, 0], x[:, -1], x[:, 1:-1, 0], x[:, 1:-1, -1]]
    return np.median(np.concatenate(sides, 1), 1)[:, None, None].astype(np.float32)


def _mapped(x: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Move images by an affine map about their centres, bilinear.

    `back`, 2 x 2, leads from where a pixel is to where it came from, (row, column).
    """
    from scipy.ndimage import affine_transform

    centre = (np.array(x.shape[1:3]) - 1) / 2
    offset = centre - back @ centre
    ground = border(x)
    above = x - ground
    out = np.zeros_like(above)
    for n, c in np.ndindex(x.shape[0], x.shape[3]):
        out[n, ..., c] = affine_transform(
            above[n, ..., c], back, offset, order=1, mode="constant"
        )
    return out + ground

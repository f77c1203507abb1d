"""Faults of sensors, screens and files: noise, exposure, geometry, compression.

Every function takes float32 images `[N, H, W, C]` in [0, 1] and returns such images,
which may leave [0, 1]: `corrupt` clips them.
"""

import io

import numpy as np

from flowjax_ood.data.random import Streams


def gaussian_noise(x: np.ndarray, streams: Streams, scale: float) -> np.ndarray:
    """`x + scale N(0, 1)`."""
    return x + np.float32(scale) * streams.normal(*x.shape[1:])


def shot_noise(x: np.ndarray, streams: Streams, photons: float) -> np.ndarray:
    """`Poisson(photons x) / photons`: of mean x and variance x / photons."""
    return streams.poisson(np.float32(photons) * x) / np.float32(photons)


def impulse_noise(x: np.ndarray, streams: Streams, amount: float) -> np.ndarray:
    """Set each value, with probability `amount`, to 0 or 1 (half of the time each)."""
    u = streams.uniform(*x.shape[1:])
    x = np.where(u < amount / 2, np.float32(0), x)
    return np.where(u >= 1 - amount / 2, np.float32(1), x)


def speckle_noise(x: np.ndarray, streams: Streams, scale: float) -> np.ndarray:
    """`x + x scale N(0, 1)`."""
    return x + x * np.float32(scale) * streams.normal(*x.shape[1:])


def brightness(x: np.ndarray, streams: Streams, amount: float) -> np.ndarray:
    """Add `amount` to the value V of HSV (to grey itself), at most to 1.

    V is the largest channel. Hue and saturation stay: channels grow in proportion.
    """
    value = x.max(axis=3, keepdims=True)
    brighter = np.minimum(value + np.float32(amount), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value > 0, x * (brighter / value), brighter)


def saturate(x: np.ndarray, streams: Streams, factor: float, plus: float) -> np.ndarray:
    """`min(1, factor S + plus)` in place of the saturation S of HSV; colour alone.

    Pixels without a hue (R = G = B) stay as they are. The benchmark's code paints them
    red, the hue that stands for none.
    """
    value = x.max(axis=3, keepdims=True)
    depth = value - x
    chroma = depth.max(axis=3, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        saturation = np.where(chroma > 0, chroma / value, 0)
        new = np.minimum(np.float32(factor) * saturation + np.float32(plus), 1)
        return np.where(chroma > 0, value - depth * (new / saturation), x)


def contrast(x: np.ndarray, streams: Streams, factor: float) -> np.ndarray:
    """`mean + factor (x - mean)`, with the mean of each channel of each image."""
    # whole numbers add up to the same sum in any order, hence in any batch
    levels = np.rint(x * 255).astype(np.int64).sum(axis=(1, 2), keepdims=True)
    mean = (levels / (255 * x.shape[1] * x.shape[2])).astype(np.float32)
    return mean + np.float32(factor) * (x - mean)


def elastic_transform(
    x: np.ndarray, streams: Streams, size: float, length: float, shift: float
) -> np.ndarray:
    """Stretch the picture as a rubber sheet: smooth waves, then an affine map.

    All arguments are shares of the shorter side. Waves are `size` times U[-1, 1) noise
    blurred by a Gaussian of sigma `length`. Three corners of a square, a third of the
    side from the centre, move by U[-shift, shift) along each axis, which gives the
    affine map. Bilinear, with the image mirrored at its edges.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    count, height, width, channels = x.shape
    side = min(height, width)
    sigma = length * side
    waves = 2 * streams.uniform(2, height, width) - 1
    waves = gaussian_filter(waves, (0, 0, sigma, sigma), mode="reflect", truncate=3)
    waves *= size * side
    corners = side / 3 * np.array([[-1, -1], [-1, 1], [1, -1]])
    moved = corners + shift * side * (2 * streams.uniform(3, 2) - 1)
    # rows of the affine map [N, 3, 2], from three pairs of points
    maps = np.linalg.solve(np.column_stack([corners, np.ones(3)]), moved)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    centre = (height - 1) / 2, (width - 1) / 2
    out = np.empty_like(x)
    for i in range(count):
        down = rows - centre[0] + waves[i, 0]
        right = columns - centre[1] + waves[i, 1]
        at = [
            down * maps[i, 0, axis]
            + right * maps[i, 1, axis]
            + maps[i, 2, axis]
            + centre[axis]
            for axis in (0, 1)
        ]
        for c in range(channels):
            map_coordinates(x[i, ..., c], at, out[i, ..., c], order=1, mode="reflect")
    return out


def pixelate(x: np.ndarray, streams: Streams, share: float) -> np.ndarray:
    """Resize to `share` of each side and back, by PIL's box filter."""
    from PIL import Image

    def pixelated(picture: "Image.Image") -> "Image.Image":
        coarse = [max(1, int(share * pixels)) for pixels in picture.size]
        box = Image.Resampling.BOX
        return picture.resize(coarse, box).resize(picture.size, box)

    return _by_pil(x, pixelated)


def jpeg_compression(x: np.ndarray, streams: Streams, quality: int) -> np.ndarray:
    """Write to JPEG by PIL at `quality` (1 to 95) and read again."""
    from PIL import Image

    def compressed(picture: "Image.Image") -> "Image.Image":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _by_pil(x, compressed)


def _by_pil(x: np.ndarray, change) -> np.ndarray:
    """`change` of each image as an 8-bit PIL picture, grey or RGB."""
    from PIL import Image

    levels = np.rint(x * 255).astype(np.uint8)
    levels = levels[..., 0] if x.shape[3] == 1 else levels
    changed = [np.asarray(change(Image.fromarray(image))) for image in levels]
    return np.stack(changed).reshape(x.shape).astype(np.float32) / 255

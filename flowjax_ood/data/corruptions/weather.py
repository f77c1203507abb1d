"""Weather between the lens and the scene: snow, frost, fog, and spatter on the lens."""

import numpy as np

from flowjax_ood.data.corruptions.blur import gaussian_blur, streak, zoom
from flowjax_ood.data.random import Streams

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
ICE = (0.80, 0.92, 1.0)  # RGB, a cold white
WATER = (175 / 255, 238 / 255, 238 / 255)  # pale turquoise
MUD = (63 / 255, 42 / 255, 20 / 255)  # dark brown


def snow(
    x: np.ndarray,
    streams: Streams,
    mean: float,
    scale: float,
    flake: float,
    threshold: float,
    radius: float,
    sigma: float,
    keep: float,
) -> np.ndarray:
    """Draw streaks of falling flakes over a picture made paler.

    Flakes are where noise N(mean, scale), zoomed `flake` times, exceeds `threshold`,
    drawn out by `streak` within 45 degrees of the vertical; added once as they are,
    once turned by 180 degrees. Of the picture `keep` stays as it is, and the rest is
    brightened to at least 1.5 grey + 0.5.
    """
    flakes = np.float32(mean) + np.float32(scale) * streams.normal(*x.shape[1:3], 1)
    flakes = zoom(flakes, max(1, flake))
    flakes = np.where(flakes < threshold, np.float32(0), np.minimum(flakes, 1))
    angles = np.pi / 2 * (streams.uniform() + 0.5)
    flakes = streak(flakes, angles, radius, sigma)
    pale = np.maximum(x, 1.5 * _grey(x) + 0.5)
    x = np.float32(keep) * x + np.float32(1 - keep) * pale
    return x + flakes + flakes[:, ::-1, ::-1]


def frost(x: np.ndarray, streams: Streams, keep: float, cover: float) -> np.ndarray:
    """`keep x + cover ice`, with `ice` from `frost_texture`.

    The benchmark takes six photographs of frost for `ice`. Here it is computed, so that
    severities are ordered in the same way, but numbers are not comparable with those
    published for frost.
    """
    ice = frost_texture(streams, *x.shape[1:3])
    return np.float32(keep) * x + np.float32(cover) * ice * _colour(ICE, x)


def frost_texture(streams: Streams, height: int, width: int) -> np.ndarray:
    """Grow ice on a window: float32 `[N, H, W, 1]` in [0, 1], crystals and grain.

    Where ice is thick follows a smooth plasma; there lie grains, a rough plasma, and
    crystals. These have needles along three lines 60 degrees apart, as ice has, turned
    at random from image to image.
    """
    side = min(height, width)
    patches = plasma(streams, height, width, roughness=0.4)[..., None]
    grains = plasma(streams, height, width, roughness=0.9)[..., None]
    seeds = streams.uniform(height, width, 1)
    seeds = np.where(seeds < 0.04, 25 * seeds, np.float32(0))  # of unequal size
    turn = np.pi * streams.uniform()
    length = max(1.2, side / 28)
    needles = np.zeros_like(seeds)
    for arm in range(6):
        needles += streak(seeds, turn + arm * np.pi / 3, 3 * length, length)
    needles = np.minimum(length * needles, 1)
    return np.clip(0.2 + patches * (0.35 + 0.7 * grains + 0.8 * needles), 0, 1)


def fog(x: np.ndarray, streams: Streams, thickness: float, decay: float) -> np.ndarray:
    """`(x + thickness p) m / (m + thickness)`.

    p is a plasma, the smoother the larger `decay`, and m the image's brightest value.
    """
    clouds = plasma(streams, x.shape[1], x.shape[2], 1 / decay**2)[..., None]
    brightest = x.max(axis=(1, 2, 3), keepdims=True)
    thick = np.float32(thickness)
    return (x + thick * clouds) * (brightest / (brightest + thick))


def spatter(
    x: np.ndarray,
    streams: Streams,
    mean: float,
    scale: float,
    sigma: float,
    threshold: float,
    opacity: float,
    softness: float,
) -> np.ndarray:
    """Add drops of water that catch the light, or splashes of mud (`opacity` 0).

    They lie where noise N(mean, scale), blurred by `sigma` pixels, exceeds `threshold`.
    Water is added as a pale turquoise, at most `opacity` of it, bright at edges that
    face the upper left and dim at those that face away. Mud, its edges softened by
    `softness` pixels, hides the picture.
    """
    noise = gaussian_blur(streams.normal(*x.shape[1:3], 1), streams, sigma)
    liquid = np.float32(mean) + np.float32(scale) * noise
    wet = (liquid > threshold).astype(np.float32)
    if opacity:
        drops = gaussian_blur(wet, streams, 0.5)
        lit = drops - np.roll(drops, (1, 1), axis=(1, 2))
        water = drops * np.clip(0.6 + lit, 0, 1)
        return x + np.float32(opacity) * water * _colour(WATER, x)
    mud = gaussian_blur(wet, streams, softness)
    mud = np.where(mud < 0.8, np.float32(0), mud)
    return x * (1 - mud) + mud * _colour(MUD, x)


def plasma(streams: Streams, height: int, width: int, roughness: float) -> np.ndarray:
    """Make a random relief for each image: float32 `[N, H, W]` from 0 to 1, clouds.

    The diamond-square algorithm on a periodic square grid, a power of two wide, of
    which the corner is returned. A level of half the distance is displaced by
    `roughness` times as much: small values make smooth clouds.

    Minimum and maximum are those of the whole grid, so a part may miss them.
    """
    size = 2
    while size < max(height, width):
        size *= 2
    numbers = 2 * streams.uniform(size * size) - 1
    grid = np.zeros((len(numbers), size, size), np.float32)
    used, step, scale = 0, size, np.float32(1)

    def displaced(corners: np.ndarray) -> np.ndarray:
        """The mean of four corners, given their sum, and noise."""
        nonlocal used
        count = corners.shape[1] * corners.shape[2]
        noise = numbers[:, used : used + count].reshape(corners.shape)
        used += count
        return corners / 4 + scale * noise

    while step > 1:
        half = step // 2
        corners = grid[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=2)
        middles = displaced(pairs + np.roll(pairs, -1, axis=1))
        grid[:, half::step, half::step] = middles
        # edges along a row have a middle above and below, those along a column have
        # one to the left and to the right
        along = middles + np.roll(middles, 1, axis=1)
        grid[:, ::step, half::step] = displaced(pairs + along)
        along = middles + np.roll(middles, 1, axis=2)
        down = corners + np.roll(corners, -1, axis=1)
        grid[:, half::step, ::step] = displaced(down + along)
        step, scale = half, scale * np.float32(roughness)
    low = grid.min(axis=(1, 2), keepdims=True)
    high = grid.max(axis=(1, 2), keepdims=True)
    return ((grid - low) / (high - low))[:, :height, :width]


def _grey(x: np.ndarray) -> np.ndarray:
    """Luma `[N, H, W, 1]`; a single channel as it is."""
    if x.shape[3] == 1:
        return x
    red, green, blue = (np.float32(w) * x[..., i] for i, w in enumerate(LUMA))
    return (red + green + blue)[..., None]


def _colour(rgb: tuple[float, float, float], x: np.ndarray) -> np.ndarray:
    """An RGB colour `[3]` for colour images, its luma `[1]` for grey ones."""
    if x.shape[3] == 1:
        return np.array([sum(w * v for w, v in zip(LUMA, rgb))], np.float32)
    return np.array(rgb, np.float32)

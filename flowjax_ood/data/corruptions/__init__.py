"""Common corruptions of images: 19 kinds at 5 severities, on the CPU, in batches.

    from flowjax_ood.data.corruptions import CORRUPTIONS, SEVERITIES, corrupted
    noisy = corrupted(image_set, "gaussian_noise", 3, seed=0)

The kinds are those of Hendrycks & Dietterich 2019, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations" (the last four are their extra
ones), with the constants of CIFAR-10-C for images below 64 pixels and of ImageNet-C
from there on: see `parameters`. The code is our own and the random numbers differ, so
images agree with the published sets in kind, not pixel by pixel. Four kinds differ
more: `frost` has computed ice in place of photographs, the drops of `spatter` another
shading, `glass_blur` swaps pixels where the published code copies them, and `saturate`
leaves grey pixels grey. Numbers for frost are not comparable with published ones.

An image's corruption follows from (seed, kind, severity, its position in the set), not
from its batch: a set may be corrupted in parts, with `offset`.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.checks import unknown
from flowjax_ood.data.corruptions import blur, digital, weather
from flowjax_ood.data.corruptions.parameters import SEVERITIES, parameters
from flowjax_ood.data.random import Streams
from flowjax_ood.data.sets import ImageSet, check_images

__all__ = ["CORRUPTIONS", "SEVERITIES", "corrupt", "corrupted", "corruptions_for"]

_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "gaussian_noise": digital.gaussian_noise,
    "shot_noise": digital.shot_noise,
    "impulse_noise": digital.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": digital.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": weather.spatter,
    "saturate": digital.saturate,
}
CORRUPTIONS = tuple(_FUNCTIONS)
"""The names of all kinds."""
COLOUR_ONLY = ("saturate",)
SMALLEST = 8  # pixels a side
_CHUNK = 2**19  # values at a time: intermediates stay in the cache


def corruptions_for(channels: int) -> tuple[str, ...]:
    """Name the kinds that act on images of `channels`: grey (1) cannot be saturated."""
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels, not {channels}")
    return tuple(k for k in CORRUPTIONS if channels == 3 or k not in COLOUR_ONLY)


def corrupt(
    images: np.ndarray, kind: str, severity: int, seed: int = 0, *, offset: int = 0
) -> np.ndarray:
    """Corrupt images: uint8 `[N, H, W, C]` -> uint8 of the same shape.

    Args:
        images: uint8, C 1 or 3, sides of at least 8 pixels.
        kind: one of `corruptions_for(C)`.
        severity: 1 (weak) to 5 (strong).
        seed: not negative; other seeds give other noise.
        offset: position of `images[0]` in its set: `corrupt(images[a:b], ...,
            offset=a)` equals `corrupt(images, ...)[a:b]`.

    Raises `ValueError` or `TypeError` naming what is wrong.
    """
    check_images(images, f"{kind} of images")
    if kind not in CORRUPTIONS:
        raise unknown("a corruption", str(kind), CORRUPTIONS)
    _, height, width, channels = images.shape
    if kind not in corruptions_for(channels):
        raise ValueError(
            f"{kind!r} changes colours alone and these images are grey; "
            "corruptions_for(1) names the kinds for grey images"
        )
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"images of {height} x {width} are too small to be corrupted: "
            f"at least {SMALLEST} pixels a side"
        )
    severity = whole_number("severity", severity)
    if severity not in SEVERITIES:
        known = ", ".join(map(str, SEVERITIES))
        raise ValueError(f"severity must be one of {known}, not {severity}")
    seed = whole_number("seed", seed, least=0)
    offset = whole_number("offset", offset, least=0)
    function = _FUNCTIONS[kind]
    arguments = parameters(kind, severity, min(height, width))
    out = np.empty_like(images)
    step = max(1, _CHUNK // images[0].size)
    for start in range(0, len(images), step):
        x = images[start : start + step].astype(np.float32) / 255
        positions = range(offset + start, offset + start + len(x))
        streams = Streams(seed, f"{kind} {severity}", positions)
        x = np.clip(function(x, streams, *arguments), 0, 1)
        out[start : start + step] = np.rint(255 * x)
    return out


def corrupted(images: ImageSet, kind: str, severity: int, seed: int = 0) -> ImageSet:
    """Corrupt a whole set; its name and origin say what was done. See `corrupt`."""
    return replace(
        images,
        name=f"{images.name} {kind} {severity}",
        images=corrupt(images.images, kind, severity, seed),
        origin=f"{images.origin}; {kind} of severity {severity}, seed {seed}",
    )

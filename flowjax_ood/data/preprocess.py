"""Change stored images: size and colour as torchvision does, simple alterations."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from flowjax_ood.data.checks import unknown
from flowjax_ood.data.sets import ImageSet, check_images

# name -> pixels k, [N, H, W, C], of `bins` values, altered
ALTERATIONS = {
    "inverted": lambda k, bins: (bins - 1) - k,
    "dimmed": lambda k, bins: k // 2,
    "upside_down": lambda k, bins: k[:, ::-1],
}


def resize_center_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the shorter side to `size` (PIL bilinear, antialiased), crop the centre.

    uint8 `[H, W, C]` -> uint8 `[size, size, C]`, each channel as if alone. Equal to
    torchvision's `Resize(size)` then `CenterCrop(size)` on a PIL image: the longer side
    is rounded down, the crop's offset is rounded half to even.
    Source: Kirichenko et al. 2020, appendix (CelebA at 32x32).

    Raises ValueError for other arrays, and for sides so unequal that the resized image
    would have more pixels than PIL takes from a file.
    """
    from PIL import Image

    if image.dtype != np.uint8 or image.ndim != 3 or image.size == 0:
        raise ValueError(
            f"an image must be uint8 [H, W, C], not {image.dtype} of shape "
            f"{image.shape}"
        )
    height, width, channels = image.shape
    if channels not in (1, 3):  # which PIL has no picture of
        parts = [image[..., c : c + 1] for c in range(channels)]
        return np.concatenate([resize_center_crop(part, size) for part in parts], 2)
    shorter = min(height, width)
    if shorter != size:
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        new = (size * width // shorter, size * height // shorter)
        most = Image.MAX_IMAGE_PIXELS
        # all of it is resized before it is cropped
        if most is not None and new[0] * new[1] > most:
            raise ValueError(
                f"an image of {height} x {width} pixels would be resized to "
                f"{new[1]} x {new[0]} before it is cropped to {size} x {size}; crop it "
                "first, or leave it out"
            )
        picture = picture.resize(new, Image.Resampling.BILINEAR)
        image = np.asarray(picture).reshape(new[1], new[0], channels)
    top = round((image.shape[0] - size) / 2)
    left = round((image.shape[1] - size) / 2)
    return image[top : top + size, left : left + size]


def resize_all(images: np.ndarray, size: int) -> np.ndarray:
    """Apply `resize_center_crop` to each of uint8 `[N, H, W, C]`, on all cores."""
    out = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    resized = on_threads(lambda i: resize_center_crop(images[i], size), len(images))
    for index, image in enumerate(resized):
        out[index] = image
    return out


def on_threads(work: Callable[[int], Any], count: int) -> Iterator[Any]:
    """Yield `work(0) ... work(count - 1)`, computed on threads, until one raises.

    Threads suffice: PIL lets go of the interpreter lock while it decodes and resizes.
    """
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        # few at a time: results that wait take memory, and the reader may stop early
        for start in range(0, count, 256):
            yield from pool.map(work, range(start, min(start + 256, count)))


def describe_resize(size: int) -> str:
    """Say what `resize_center_crop` did, for an `ImageSet.origin`."""
    return (
        f"shorter side resized to {size} (PIL bilinear), centre-cropped {size}x{size}"
    )


def to_grayscale(images: np.ndarray) -> np.ndarray:
    """`(19595 R + 38470 G + 7471 B + 2^15) >> 16`: ITU-R 601 luma, exactly PIL's "L".

    uint8 `[N, H, W, 3]` -> uint8 `[N, H, W, 1]`, or both uint16; one channel is
    returned as it is.
    """
    _check_colours(images)
    if images.shape[3] == 1:
        return images
    weights = np.array([19595, 38470, 7471], np.uint32)
    luma = (images.astype(np.uint32) @ weights + 0x8000) >> 16
    return luma.astype(images.dtype)[..., None]


def to_rgb(images: np.ndarray) -> np.ndarray:
    """Repeat grey three times: uint8 `[N, H, W, 1]` -> uint8 `[N, H, W, 3]`.

    Or both uint16. Three channels are returned as they are.
    """
    _check_colours(images)
    return images if images.shape[3] == 3 else np.repeat(images, 3, axis=3)


def _check_colours(images: np.ndarray) -> None:
    check_images(images, "colours", deep=True)
    if images.shape[3] not in (1, 3):
        raise ValueError(
            f"images of {images.shape[3]} channels are neither grey (1) nor RGB (3), "
            "and have no conversion; leave channels as they are, or select some first"
        )


def with_channels(images: np.ndarray, channels: int | None) -> np.ndarray:
    """Apply `to_grayscale` for 1 channel, `to_rgb` for 3, nothing for None."""
    if channels is None:
        return images
    return (to_grayscale if channels == 1 else to_rgb)(images)


def describe_channels(channels: int) -> str:
    """Say what `with_channels` did, for an `ImageSet.origin`."""
    return {1: "made grey (ITU-R 601 luma)", 3: "grey repeated as RGB"}[channels]


def with_depth(images: np.ndarray, bins: int) -> np.ndarray:
    """Spread the 256 values of uint8 images over `bins`, a power of two.

    uint8 of any shape -> uint8 of that shape, uint16 with more than 256 `bins`.
    """
    if bins > 256:
        return images.astype(np.uint16) * np.uint16(bins // 256)
    return images // np.uint8(256 // bins) if bins < 256 else images


def altered(images: ImageSet, how: str, bins: int = 256) -> ImageSet:
    """Alter every image: `inverted`, `dimmed` (k // 2), or `upside_down`.

    Inverted is `bins - 1 - k`: 255 - k of 8-bit images.

    Further sets to score, where no other data is at hand. Edges and shapes are those of
    the originals, or their mirror image; which values are common where is not. Name and
    origin of the set say what was done. Raises ValueError for an unknown alteration,
    and for values not below `bins`.
    """
    if how not in ALTERATIONS:
        raise unknown("an alteration of images", how, ALTERATIONS)
    if (highest := int(images.images.max())) >= bins:
        raise ValueError(
            f"{images.name}:{images.split} has the value {highest}, not below "
            f"bins={bins}; give the bins of these images"
        )
    return replace(
        images,
        name=f"{images.name} {how}",
        images=np.ascontiguousarray(ALTERATIONS[how](images.images, bins)),
        origin=f"{images.origin}; {how}",
    )

"""Lossless code lengths of images, bits: how complex a general coder finds them."""

import io
import zlib
from collections.abc import Callable

import numpy as np

# zlib's, and that of PNG, which holds a stream of zlib: the most effort
LEVEL = 9
# WebP without loss: quality and method are effort, Pillow's own defaults
WEBP_QUALITY, WEBP_METHOD = 80, 4


def code_length(images: np.ndarray, coder: str) -> np.ndarray:
    """Code each image by itself, headers included: bits, float64 `[N]`.

    Args:
        images: uint8 `[N, H, W, C]`.
        coder: a name of `CODERS`:

            * "png": Pillow's, compression level 9; of 1 or 3 channels;
            * "webp": lossless WebP by Pillow, quality 80, method 4; of 1 or 3 channels;
            * "zlib": level 9, of the values row by row;
            * "difference": the same of what each value adds to its left neighbour,
              modulo 256.

    Raises:
        ValueError: an unknown coder, one that Pillow was built without, images of other
            shapes.
        TypeError: images that are not uint8.
    """
    check_coder(coder)
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise TypeError(
            f"code lengths are of uint8 images, got {images.dtype}: of 16 bits, "
            "(x >> 8).astype(np.uint8)"
        )
    if images.ndim != 4 or not images.size:
        raise ValueError(
            f"images must be [N, H, W, C], none of them 0, got {list(images.shape)}"
        )
    if coder in OF_PICTURES and images.shape[3] not in (1, 3):
        raise ValueError(
            f"{coder!r} codes images of 1 or 3 channels, got {images.shape[3]}: take "
            "'zlib' or 'difference'"
        )
    lengths = [CODERS[coder](np.ascontiguousarray(image)) for image in images]
    return 8 * np.array(lengths, np.float64)


def check_coder(coder: str) -> None:
    """Raise ValueError for an unknown coder, or one that is not there."""
    if coder not in CODERS:
        raise ValueError(f"unknown coder {coder!r}; known: {', '.join(CODERS)}")
    if coder == "webp" and not has_webp():
        raise ValueError(
            "coder 'webp': this Pillow was built without WebP; install a wheel of "
            "Pillow, or take 'png' or 'zlib'"
        )


def default_coder() -> str:
    """Return "webp" where Pillow has it, else "zlib"."""
    return "webp" if has_webp() else "zlib"


def has_webp() -> bool:
    """Tell whether Pillow was built with WebP."""
    from PIL import features

    return bool(features.check("webp"))


def _png(image: np.ndarray) -> int:
    return _picture(image, format="png", compress_level=LEVEL)


def _webp(image: np.ndarray) -> int:
    options = {"quality": WEBP_QUALITY, "method": WEBP_METHOD, "exact": True}
    return _picture(image, format="webp", lossless=True, **options)


def _zlib(image: np.ndarray) -> int:
    return len(zlib.compress(image.tobytes(), LEVEL))


def _difference(image: np.ndarray) -> int:
    # bytes wrap around, so nothing is lost
    return _zlib(np.diff(image, axis=1, prepend=np.uint8(0)))


def _picture(image: np.ndarray, **options) -> int:
    from PIL import Image

    grey = image.shape[2] == 1
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if grey else image).save(file, **options)
    return file.tell()


# name -> bytes of the code of an image [H, W, C]
CODERS: dict[str, Callable[[np.ndarray], int]] = {
    "png": _png,
    "zlib": _zlib,
    "webp": _webp,
    "difference": _difference,
}
OF_PICTURES = ("png", "webp")

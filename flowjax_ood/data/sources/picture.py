"""One image file as uint8 pixels, grey or RGB by an explicit rule."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.data.preprocess import resize_center_crop

if TYPE_CHECKING:
    from PIL import Image

# modes of PIL; those of 16 and 32 bits a value have no pixel values 0..255
GREY, DEEP = ("1", "L", "LA", "La"), ("I", "F")


def read_picture(
    path: Path, size: int | None = None, channels: int | None = None
) -> np.ndarray | None:
    """Read the image file as uint8 `[H, W, C]`; None if it cannot be decoded.

    C is 1 for files stored as grey (1 or 8 bits), 3 for all others: RGB, palettes,
    CMYK, YCbCr. `channels` 1 converts to grey by ITU-R 601 luma, 3 to RGB. An alpha
    channel that is opaque everywhere is dropped. `size`: `resize_center_crop`, after
    the conversion, as torchvision does it. The orientation tag of a photograph is not
    looked at, as in torchvision.

    Raises `ValueError` for what can be decoded but has no one reading: transparent
    pixels, and more than 8 bits a value.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error):
        # PIL: SyntaxError for a broken PNG, the last two for other damage
        return None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has too many pixels to be read: {error}") from error
    if picture.mode.startswith(DEEP):
        raise ValueError(
            f"{path} has more than 8 bits a value (PIL mode {picture.mode!r}); convert "
            "it to 8 bits first: how to scale it is not ours to guess"
        )
    grey = picture.mode in GREY
    if channels is not None:
        grey = channels == 1
    mode = "L" if grey else "RGB"
    image = np.asarray(_opaque(picture, path).convert(mode))
    image = image[..., None] if grey else image
    return image if size is None else resize_center_crop(image, size)


def _opaque(picture: "Image.Image", path: Path) -> "Image.Image":
    """The picture, if no pixel of it is transparent."""
    # "transparency" marks a colour, or entries of a palette, as transparent
    alpha = picture.mode in ("LA", "La", "RGBA", "RGBa", "PA")
    if not alpha and "transparency" not in picture.info:
        return picture
    with_alpha = picture.convert("RGBA")
    lowest, _ = with_alpha.getchannel("A").getextrema()
    if lowest < 255:
        raise ValueError(
            f"{path} has transparent pixels, whose colour depends on what is behind "
            "them; put it on a background first"
        )
    # grey stays grey: its three channels are equal
    return with_alpha.convert("RGB")

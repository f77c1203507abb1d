"""One image file as uint8 pixels, grey or RGB by an explicit rule."""

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flowjax_ood.data.preprocess import resize_center_crop

if TYPE_CHECKING:
    from PIL import Image

# modes of PIL; those of 16 and 32 bits a value have no pixel values 0..255
GREY, DEEP = ("1", "L", "LA", "La"), ("I", "F")
# what is read, by PIL's names; of all of them `bits_a_value` knows how deep they can be
FORMATS = ("PNG", "JPEG", "PPM", "TIFF", "GIF", "BMP", "WEBP", "AVIF")
_HEAD = 1 << 16  # bytes that hold the header


def read_picture(
    path: Path,
    size: int | None = None,
    channels: int | None = None,
    as_shown: bool = False,
) -> np.ndarray | None:
    """Read the image file as uint8 `[H, W, C]`; None if it cannot be decoded.

    C is 1 for files stored as grey (1 or 8 bits), 3 for all others: RGB, palettes,
    CMYK, YCbCr. `channels` 1 converts to grey by ITU-R 601 luma, 3 to RGB. An alpha
    channel that is opaque everywhere is dropped. `size`: `resize_center_crop`, after
    the conversion, as torchvision does it. The orientation tag of a photograph is not
    looked at, as in torchvision. With `as_shown`, the picture is as a viewer shows it:
    upright by that tag, and on white where it is transparent.

    Raises `ValueError` for what can be decoded but has no one reading: transparent
    pixels, more than 8 bits a value, and sides too unequal to be resized.
    """
    from PIL import Image

    Image.init()
    # before Pillow 11.3 there is no AVIF
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with path.open("rb") as file, Image.open(file, formats=formats) as picture:
            bits = bits_a_value(picture, _head(file))
            if bits <= 8:
                picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError):
        # PIL: SyntaxError for a broken PNG, the others for other damage
        return None
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has too many pixels to be read: {error}") from error
    if bits > 8 or picture.mode.startswith(DEEP):
        raise ValueError(
            f"{path} has more than 8 bits a value ({bits} in a {picture.format} file, "
            f"PIL mode {picture.mode!r}); convert it to 8 bits first: how to scale it "
            "is not ours to guess"
        )
    grey = picture.mode in GREY
    if channels is not None:
        grey = channels == 1
    mode = "L" if grey else "RGB"
    shown = _on_white(_upright(picture)) if as_shown else _opaque(picture, path)
    image = np.asarray(shown.convert(mode))
    image = image[..., None] if grey else image
    if size is None:
        return image
    try:
        return resize_center_crop(image, size)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def bits_a_value(picture: "Image.Image", head: bytes) -> int:
    """Read the bits of a stored value from a picture's header: 8 where it says none.

    PIL decodes colours of 16 bits to 8 without a word, and its mode does not tell.
    `head` is the beginning of the file. Sources: PNG section 11.2.2 (IHDR), TIFF 6.0
    tag 258, Netpbm's maxval, AV1-ISOBMFF section 2.3.3 (av1C).
    """
    from PIL.TiffImagePlugin import TiffImageFile

    if picture.format == "PNG":
        return head[24]
    if isinstance(picture, TiffImageFile):
        return max(picture.tag_v2.get(258, (1,)))
    if picture.format == "PPM" and head[1:2] in b"2356":
        return int(re.sub(rb"#[^\r\n]*", b"", head).split(maxsplit=4)[3]).bit_length()
    if picture.format == "AVIF" and (box := head.find(b"av1C")) >= 0:
        deep = head[box + 6]
        return 12 if deep & 0x20 else 10 if deep & 0x40 else 8
    return 8


def _head(file) -> bytes:
    """The first bytes of an open file, which stays where it was."""
    at = file.tell()
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(at)
    return head


def _upright(picture: "Image.Image") -> "Image.Image":
    """The picture turned as its orientation tag says; as it is where that is broken."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, KeyError, struct.error, TypeError):
        return picture


def _on_white(picture: "Image.Image") -> "Image.Image":
    """The picture, on white where it is transparent."""
    from PIL import Image

    if not _has_alpha(picture):
        return picture
    with_alpha = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, with_alpha).convert("RGB")


def _has_alpha(picture: "Image.Image") -> bool:
    # "transparency" marks a colour, or entries of a palette, as transparent
    alpha = picture.mode in ("LA", "La", "RGBA", "RGBa", "PA")
    return alpha or "transparency" in picture.info


def _opaque(picture: "Image.Image", path: Path) -> "Image.Image":
    """The picture, if no pixel of it is transparent."""
    if not _has_alpha(picture):
        return picture
    with_alpha = picture.convert("RGBA")
    if np.asarray(with_alpha.getchannel("A")).min() < 255:
        raise ValueError(
            f"{path} has transparent pixels, whose colour depends on what is behind "
            "them; put it on a background first"
        )
    # grey stays grey: its three channels are equal
    return with_alpha.convert("RGB")

"""One picture: bits a value as the header has them, which PIL's mode does not tell."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from flowjax_ood.data.sources.picture import bits_a_value, read_picture


def png16(image):
    """A 16-bit PNG of uint16 `[H, W]` or `[H, W, 3]`, which PIL cannot write."""

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    height, width, *colour = image.shape
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if colour else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in image.astype(">u2"))
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def ppm(image, maxval, comment=b""):
    """A P6 file of `[H, W, 3]`, two bytes a value above a maxval of 255."""
    size = f"{image.shape[1]} {image.shape[0]}".encode()
    kind = ">u2" if maxval > 255 else "u1"
    head = b"P6\n" + comment + size + b"\n" + str(maxval).encode() + b"\n"
    return head + image.astype(kind).tobytes()


def tiff16(image):
    """A 16-bit RGB TIFF of `[H, W, 3]`: header, pixels, three depths, directory."""
    height, width, _ = image.shape
    data = image.astype("<u2").tobytes()
    depths = 8 + len(data)
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, depths)]
    tags += [(259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3)]
    tags += [(278, 3, 1, height), (279, 4, 1, len(data))]
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = struct.pack("<2sHI", b"II", 42, depths + 6)
    depth = struct.pack("<3H", 16, 16, 16)
    return start + data + depth + struct.pack("<H", 9) + body + bytes(4)


DARK = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
DEEP = {
    "colour.png": png16(DARK),
    "colour.tif": tiff16(DARK),
    "colour.ppm": ppm(DARK, 65535),
    "of 12 bits.ppm": ppm(DARK, 4095, b"# 255 255 255\n"),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_colours_are_refused_by_the_header(tmp_path, name):
    """PIL's mode of all of them is RGB, of 8 bits."""
    (tmp_path / name).write_bytes(DEEP[name])
    with Image.open(tmp_path / name) as picture:
        assert picture.mode == "RGB"
    with pytest.raises(ValueError, match=rf"{name} has more than 8 bits.*\(1[26] in a"):
        read_picture(tmp_path / name)


def test_a_shallow_header_is_no_fault(tmp_path):
    (tmp_path / "a.ppm").write_bytes(ppm(DARK, 255, b"# 65535\n"))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.ppm"), DARK)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_bits_of_an_avif(tmp_path):
    """PIL writes 8 bits alone, and its decoder looks at header and stream."""
    file = tmp_path / "a.avif"
    Image.fromarray(DARK.astype(np.uint8)).save(file)
    assert read_picture(file).shape == (8, 8, 3)
    head = bytearray(file.read_bytes())
    depth = head.index(b"av1C") + 6
    with Image.open(file) as picture:
        for flags, bits in ((0x00, 8), (0x40, 10), (0x60, 12)):
            head[depth] = head[depth] & 0x9F | flags
            assert bits_a_value(picture, bytes(head)) == bits

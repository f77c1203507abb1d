"""The IDX file format of MNIST: a magic number, the dimensions, the bytes.

Layout: two zero bytes, one byte for the element type (8 = uint8), one byte for the
number of dimensions, each dimension as a big-endian uint32, then the elements in C
order. Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

import gzip
import lzma
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

_UINT8 = 0x08
_OTHER_TYPES = {
    0x09: "int8",
    0x0B: "int16",
    0x0C: "int32",
    0x0D: "float32",
    0x0E: "float64",
}


def read_idx(path: str | os.PathLike, rank: int) -> np.ndarray:
    """uint8 array of `rank` dimensions from an IDX file, plain, `.gz` or `.xz`.

    Raises `ValueError` naming the file when it is not one, is cut short, has bytes to
    spare, or holds another element type or number of dimensions.
    """
    path = Path(path)
    return decode_idx(decompress(path.read_bytes(), path), rank, path)


def decompress(data: bytes, file: str | os.PathLike) -> bytes:
    """`data` decompressed as the suffix of `file` says: `.gz`, `.xz`, or not at all."""
    suffix = Path(file).suffix
    try:
        if suffix == ".gz":
            return gzip.decompress(data)
        if suffix == ".xz":
            return lzma.decompress(data, lzma.FORMAT_XZ)
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(
            f"{file}: not a complete {suffix} file ({error}); fetch it again"
        ) from error
    return data


def decode_idx(data: bytes, rank: int, file: str | os.PathLike) -> np.ndarray:
    """uint8 array of `rank` dimensions from the bytes of an IDX file.

    `file` is named in the errors, which are those of `read_idx`.
    """
    if len(data) < 4 or data[0] != 0 or data[1] != 0:
        raise ValueError(
            f"{file}: not an IDX file: it starts with 0x{data[:4].hex()}, "
            f"expected the magic number 0x0000080{rank}"
        )
    kind, found_rank = data[2], data[3]
    if kind != _UINT8:
        kind_name = _OTHER_TYPES.get(kind, f"unknown type 0x{kind:02x}")
        raise ValueError(f"{file}: IDX elements must be uint8 (0x08), not {kind_name}")
    if found_rank != rank:
        raise ValueError(f"{file}: {found_rank} dimensions, expected {rank}")
    header = 4 + 4 * rank
    if len(data) < header:
        raise ValueError(
            f"{file}: truncated: {len(data)} bytes, the header alone takes {header}"
        )
    shape = struct.unpack(f">{rank}I", data[4:header])
    expected = header + math.prod(shape)
    if len(data) != expected:
        fault = "truncated" if len(data) < expected else "trailing bytes"
        raise ValueError(
            f"{file}: {fault}: {len(data)} bytes, dimensions {shape} take {expected}"
        )
    # A copy: an array over `bytes` would be read-only.
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()


def encode_idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file of this uint8 array; inverse of `decode_idx`."""
    if array.dtype != np.uint8:
        raise TypeError(f"IDX files are written from uint8 arrays, not {array.dtype}")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UINT8, array.ndim, *array.shape)
    return header + np.ascontiguousarray(array).tobytes()

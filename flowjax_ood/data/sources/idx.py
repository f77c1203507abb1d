"""Source `idx`: a directory of IDX files under any of the names in use."""

import gzip
import lzma
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePath
from typing import BinaryIO

import numpy as np

from flowjax_ood.data.checks import check_bytes, unknown
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.runtime.paths import AnyPath, BucketPath, as_path

# Where Debian's package dataset-fashion-mnist puts it.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
LICENCES = {
    "fashionmnist": "MIT licence, (c) 2017 Zalando SE",
    "mnist": "CC BY-SA 3.0, Y. LeCun, C. Cortes, C. Burges",
}
# A directory with one of these names holds that data set and no other.
_KNOWN = {"fashionmnist", "mnist", "kmnist", "qmnist", "emnist", "notmnist"}
_COMPRESSION = ("", ".gz", ".xz")
_FILE = re.compile(
    r"((?P<dataset>[\w-]+)-)?(?P<split>train10k|train|t10k|test)"
    r"-(?P<kind>images|labels)[-.]idx[13]-ubyte(?P<compression>\.gz|\.xz)?"
)
_UINT8 = 0x08
_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def load_idx(
    name: str, split: str, *, path: str | os.PathLike | None = None
) -> ImageSet:
    """Read the images and labels of `name:split` under the directory `path`.

    Files are `[NAME-]SPLIT-images[-.]idx3-ubyte[.gz|.xz]`, `labels` and `idx1`
    likewise, in `path` itself, in a sub-directory named as the data set, or in a `raw/`
    under that (torchvision). SPLIT is `train`, `t10k` or `test` (both are split
    `test`), or `train10k`. Names are compared without case, `-` and `_`.

    A file directly in `path` whose name says no data set is taken for the one asked
    for, and `origin` says so; unless `path` is named after another data set, or other
    files do name the one asked for.

    `path` None is Debian's directory for `fashion_mnist`, an error for other names.
    Labels that are not there are None.
    """
    directory = _directory(name, path)
    files = list(_scan(directory))
    wanted = _canonical(name)
    # A file that names no data set is taken only where none names the one asked for:
    # beside mnist-train-*, a bare t10k-* may well be another set's.
    ours = [f for f in files if _canonical(f.dataset) == wanted]
    ours = ours or [f for f in files if not f.dataset]
    images = [f for f in ours if f.kind == "images"]
    if not images:
        raise unknown(
            f"a data set in {directory}",
            f"{name}:{split}",
            {f.spec for f in files if f.kind == "images"},
            f"put {name}-train-images-idx3-ubyte.gz and its like there, or pass "
            "another path",
        )
    images = [f for f in images if f.split == split]
    if not images:
        specs = sorted(
            {f.spec.replace("NAME", name) for f in ours if f.kind == "images"}
        )
        raise ValueError(
            f"no split {split!r} of {name!r} in {directory}; there is: "
            f"{', '.join(specs)}. Write {' or '.join(map(repr, specs))}, or add the "
            f"IDX files of that split"
        )
    chosen = min(images, key=_preference)
    pixels = read_idx(chosen.path, rank=3)[..., None]
    neighbours = [
        f
        for f in ours
        if (f.kind, f.split, f.dataset) == ("labels", split, chosen.dataset)
        and f.path.parent == chosen.path.parent
    ]
    labels = None
    if neighbours:
        file = min(neighbours, key=_preference)
        labels = read_idx(file.path, rank=1).astype(np.int32)
    return ImageSet(name, split, pixels, labels, "idx", _origin(chosen, name, labels))


def read_idx(path: str | os.PathLike | BucketPath, rank: int) -> np.ndarray:
    """Read a uint8 array of `rank` dimensions from an IDX file, plain, `.gz` or `.xz`.

    No more is decompressed than the header says. Raises `ValueError` naming the file
    when it is not one, is cut short, has bytes to spare, holds another element type or
    number of dimensions, or more than memory takes.
    """
    with as_path(path).open("rb") as file:
        return _read(file, rank, path)


def decode_idx(data: bytes, rank: int, file: str | os.PathLike) -> np.ndarray:
    """Decode the bytes of an IDX file, compressed as the suffix of `file` says.

    `file` is named in the errors, which are those of `read_idx`.
    """
    return _read(BytesIO(data), rank, file)


def _read(stored: BinaryIO, rank: int, file: object) -> np.ndarray:
    suffix = PurePath(str(file)).suffix
    try:
        if suffix == ".gz":
            with gzip.open(stored) as stream:
                return _decode(stream, rank, file)
        if suffix == ".xz":
            with lzma.open(stored, format=lzma.FORMAT_XZ) as stream:
                return _decode(stream, rank, file)
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(
            f"{file}: not a complete {suffix} file ({error}); fetch it again"
        ) from error
    return _decode(stored, rank, file)


def _decode(stream: BinaryIO | BufferedIOBase, rank: int, file: object) -> np.ndarray:
    """Read the header, and then as many bytes as it says."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(
            f"{file}: not an IDX file: it starts with 0x{magic.hex()}, "
            f"expected the magic number 0x0000080{rank}"
        )
    kind, stored_rank = magic[2:]
    if kind != _UINT8:
        kind_name = _TYPES.get(kind, f"unknown type 0x{kind:02x}")
        raise ValueError(f"{file}: IDX elements must be uint8 (0x08), not {kind_name}")
    if stored_rank != rank:
        raise ValueError(f"{file}: {stored_rank} dimensions, expected {rank}")
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise ValueError(
            f"{file}: truncated: {4 + len(header)} bytes, the header alone takes "
            f"{4 + 4 * rank}"
        )
    shape = struct.unpack(f">{rank}I", header)
    takes = f"dimensions {shape} take"
    count = math.prod(shape)
    check_bytes(count, f"{file}: {takes}", "fetch it again, or use a machine with more")
    data = stream.read(count + 1)
    if len(data) < count:
        raise ValueError(f"{file}: truncated: {len(data)} bytes, {takes} {count}")
    if len(data) > count:
        raise ValueError(f"{file}: trailing bytes: {takes} {count} bytes, it has more")
    # A copy: an array over `bytes` would be read-only.
    return np.frombuffer(data, np.uint8).reshape(shape).copy()


def encode_idx(array: np.ndarray) -> bytes:
    """Encode a uint8 array as the bytes of an IDX file; inverse of `decode_idx`."""
    if array.dtype != np.uint8:
        raise TypeError(f"IDX files are written from uint8 arrays, not {array.dtype}")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UINT8, array.ndim, *array.shape)
    return header + np.ascontiguousarray(array).tobytes()


@dataclass(frozen=True)
class _File:
    path: AnyPath
    dataset: str  # as written in the file's or the directory's name; "" if nowhere
    split: str
    kind: str  # "images" or "labels"
    compression: str

    @property
    def spec(self) -> str:
        dataset = self.dataset.lower().replace("-", "_") or "NAME"
        return f"{dataset}:{self.split}"


def _directory(name: str, path: str | os.PathLike | None) -> AnyPath:
    if path is None:
        if _canonical(name) != "fashionmnist":
            raise ValueError(
                f"source 'idx' has no default directory for {name!r}; "
                "pass path=, the directory of its IDX files"
            )
        path = DEBIAN_FASHION_MNIST
        remedy = "apt install dataset-fashion-mnist (Debian, Ubuntu), or pass path="
    else:
        remedy = "path must be the directory that holds the IDX files"
    directory = as_path(path)
    if not directory.is_dir():
        raise FileNotFoundError(f"no directory {str(directory)!r}; {remedy}")
    return directory


def _scan(directory: AnyPath) -> Iterator[_File]:
    """Every IDX file of `directory`, and of its sub-directories and their `raw/`."""
    named = directory.parent if directory.name == "raw" else directory
    owner = named.name if _canonical(named.name) in _KNOWN else ""
    folders = [(directory, owner)]
    for sub in sorted(p for p in directory.iterdir() if p.is_dir()):
        folders += [(sub, sub.name), (sub / "raw", sub.name)]
    for folder, owner in folders:
        there: list[AnyPath] = list(folder.iterdir()) if folder.is_dir() else []
        for path in sorted(there):
            match = _FILE.fullmatch(path.name)
            if match:
                split = match["split"].replace("t10k", "test")
                dataset = match["dataset"] or owner
                compression = match["compression"] or ""
                yield _File(path, dataset, split, match["kind"], compression)


def _preference(file: _File) -> tuple[int, str]:
    """Smallest first: the file that needs no decompression, then by name."""
    return _COMPRESSION.index(file.compression), str(file.path)


def _origin(file: _File, name: str, labels: np.ndarray | None) -> str:
    parts = [f"IDX file {file.path}"]
    if not file.dataset:
        parts.append(
            f"its name says no data set, taken to be {name!r} as it was asked for"
        )
    elif _canonical(name) in LICENCES:
        parts.append(LICENCES[_canonical(name)])
    if labels is None:
        parts.append("without labels")
    return "; ".join(parts)


def _canonical(name: str) -> str:
    return re.sub(r"[-_]", "", name).lower()

"""NumPy archives (`.npz`): read without pickles, written in one step."""

import json
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np

from flowjax_ood.data.checks import check_bytes, unknown
from flowjax_ood.runtime.files import replacing
from flowjax_ood.runtime.paths import AnyPath, BucketPath, as_path

# raised by NumPy and zipfile for what is damaged, cut short, encrypted (RuntimeError),
# of a compression unknown here, larger than memory, or could only be read by pickle
_UNREADABLE = (
    *(ValueError, TypeError, EOFError, OSError, MemoryError, OverflowError),
    *(RuntimeError, NotImplementedError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


class Archive:
    """An open archive: `keys`, and arrays by key. Made by `open_archive`."""

    def __init__(self, path: AnyPath, arrays: np.lib.npyio.NpzFile):
        assert arrays.zip is not None, "it is open"
        self.path, self.keys = path, arrays.files
        self._arrays, self._zip = arrays, arrays.zip

    def read(self, key: str) -> np.ndarray:
        """Read the array `key`.

        Raises ValueError, naming file and key, for damage, arrays of objects and what
        memory does not take, and KeyError for a key that is not there.
        """
        what = f"{self.path}[{key!r}]"
        stored = f"{key}.npy"
        if stored in self._zip.namelist():
            # no more than that is decompressed
            size = self._zip.getinfo(stored).file_size
            check_bytes(size, f"{what}: takes", "use a machine with more")
        try:
            return self._arrays[key]
        except _UNREADABLE as error:
            raise ValueError(f"{what}: {_say(error)}") from error

    def read_json(self, key: str) -> Any:
        """Read JSON text. Raises ValueError, naming file and key, and KeyError."""
        try:
            return json.loads(str(self.read(key)))
        except (json.JSONDecodeError, RecursionError) as error:
            what = f"{self.path}[{key!r}]"
            raise ValueError(f"{what}: not JSON text ({_say(error)})") from error

    def labels(self, key: str) -> np.ndarray | None:
        """Read the array `key` as int32, None where there is none.

        Raises TypeError for other numbers than integers, ValueError for those that do
        not fit in int32.
        """
        if key not in self.keys:
            return None
        labels, what = self.read(key), f"{self.path}[{key!r}]"
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"{what}: labels must be integers, not {labels.dtype}")
        if labels.size and not -(2**31) <= labels.min() <= labels.max() < 2**31:
            raise ValueError(f"{what}: labels do not fit in int32")
        return labels.astype(np.int32)


def find_archive(
    source: str, path: str | os.PathLike | None, stems: Sequence[str], remedy: str
) -> AnyPath:
    """Return `path` if it is a file, or the first STEM.npz of that directory.

    Raises ValueError and FileNotFoundError that name `source` and end with `remedy`.
    """
    if path is None:
        raise ValueError(
            f"source {source!r} needs path=, an .npz archive or a directory of them; "
            f"{remedy}"
        )
    place = as_path(path)
    if place.is_file():
        return place
    if not place.is_dir():
        raise FileNotFoundError(f"no file or directory {str(place)!r}; {remedy}")
    for stem in stems:
        if (place / f"{stem}.npz").is_file():
            return place / f"{stem}.npz"
    there = (p.stem for p in place.glob("*.npz"))
    raise unknown(f"an archive in {place}", stems[0], there, remedy)


@contextmanager
def open_archive(
    path: str | os.PathLike | BucketPath, content: bytes | None = None
) -> Iterator[Archive]:
    """Open the archive `path`, or its `content`, for the time of a with-block.

    Raises ValueError for a file that is no archive of arrays, or one array alone.
    """
    place = as_path(path)
    # opened here: NumPy leaves the file open when it turns out not to be an archive
    with place.open("rb") if content is None else BytesIO(content) as file:
        try:
            arrays = np.load(file, allow_pickle=False)
        except _UNREADABLE as error:
            raise ValueError(f"{place}: not an .npz archive ({_say(error)})") from error
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError(f"{place}: holds one array, not a set; use np.savez")
        yield Archive(place, arrays)


def _say(error: Exception) -> str:
    """What an error says, or its name where it says nothing."""
    return str(error) or type(error).__name__


def write_archive(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> AnyPath:
    """Write `arrays` to `path`, uncompressed; no reader ever sees half of it."""
    contents: dict[str, Any] = dict(arrays)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **contents)
    return as_path(path)

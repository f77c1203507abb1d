"""NumPy archives (`.npz`): read without pickles, written in one step."""

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from flowjax_ood.runtime.files import replacing

# raised by NumPy for what is damaged, cut short, or could only be read by pickle
_UNREADABLE = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)


class Archive:
    """An open archive: `keys`, and arrays by key. Made by `open_archive`."""

    def __init__(self, path: Path, arrays: np.lib.npyio.NpzFile):
        self.path, self.keys, self._arrays = path, arrays.files, arrays

    def read(self, key: str) -> np.ndarray:
        """Read the array `key`.

        Raises ValueError, naming file and key, for damage and arrays of objects, and
        KeyError for a key that is not there.
        """
        try:
            return self._arrays[key]
        except _UNREADABLE as error:
            raise ValueError(f"{self.path}[{key!r}]: {error}") from error

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


@contextmanager
def open_archive(path: str | os.PathLike) -> Iterator[Archive]:
    """Open the archive `path` for the time of a with-block.

    Raises ValueError for a file that is no archive of arrays, or one array alone.
    """
    path = Path(path)
    # opened here: NumPy leaves the file open when it turns out not to be an archive
    with path.open("rb") as file:
        try:
            arrays = np.load(file, allow_pickle=False)
        except _UNREADABLE as error:
            raise ValueError(f"{path}: not an .npz archive ({error})") from error
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError(f"{path}: holds one array, not a set; use np.savez")
        yield Archive(path, arrays)


def write_archive(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write `arrays` to `path`, uncompressed; no reader ever sees half of it."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    return Path(path)

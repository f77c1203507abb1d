"""Source `folder`: a directory of image files, such as notMNIST's or CelebA's."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import check_memory
from flowjax_ood.data.preprocess import describe_resize, for_each
from flowjax_ood.data.sets import ImageSet
from flowjax_ood.data.sources.folder_files import find_files
from flowjax_ood.data.sources.picture import read_picture

# of the files looked at; notMNIST_small has 2 broken ones in 18,726
MOST_UNREADABLE = 0.01
_NAMED = 5  # unreadable files named in the warning and in `origin`


def load_folder(
    name: str,
    split: str,
    *,
    path: str | os.PathLike | None = None,
    limit: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
) -> ImageSet:
    """Read the image files of `split` in the directory `path/NAME`, or else in `path`.

    Layouts: `SPLIT/` or none, in it `CLASS/` or none, and in there the files
    (`folder_files.EXTENSIONS`). Where there are no split directories the files are
    the split `test`, and no other: what a model is tested on must not have trained it.
    Labels number the class directories in sorted order; without any they are None.

    Order: each class sorted by file name, and the classes take turns: the first file of
    every class, then the second of every class. So the first `limit` are a fair sample,
    of notMNIST's letters for example, and without classes the order is the sorted one.

    Channels: files are grey or colour as they are stored (`picture.read_picture`), and
    all must agree; `channels` 1 converts all to grey by ITU-R 601 luma (PIL's "L"), 3
    to RGB. Sizes must agree as well, unless `image_size` brings all to one.

    A file that cannot be decoded is left out: `origin` and a warning count and name
    them. More than `MOST_UNREADABLE` of them is a `ValueError`. So are a `limit` above
    the readable files, and files that do not agree; missing data is a
    `FileNotFoundError`.
    """
    files = find_files(name, split, path)
    what = f"folder {name}:{split}"
    reader = _Reader(image_size, channels, what)
    wanted = len(files.paths) if limit is None else limit
    position = 0
    while reader.count < wanted and position < len(files.paths):
        # on the second turn, as many as there were unreadable ones
        take = files.paths[position : position + wanted - reader.count]
        reader.read(take)
        position += len(take)
    if position and len(reader.unreadable) > MOST_UNREADABLE * position:
        raise ValueError(
            f"{what}: {len(reader.unreadable)} of {position} image files cannot be "
            f"read ({_some(reader.unreadable)}), more than {MOST_UNREADABLE:.0%}: copy "
            "them again, or remove them to go on without"
        )
    if limit is not None and limit > reader.count:
        raise ValueError(
            f"{what} holds {reader.count} readable images, so the first {limit} cannot "
            f"be taken; ask for 1 to {reader.count}, or for no limit"
        )
    if reader.unreadable:
        warnings.warn(f"{what}: {_left_out(reader.unreadable)}", stacklevel=2)
    labels = None
    if files.classes:
        labels = np.array(files.labels[:position], np.int32)[reader.kept]
    return ImageSet(
        name,
        split,
        reader.images(),
        labels,
        "folder",
        _origin(files, reader, image_size, channels),
    )


class _Reader:
    """Decodes files into one array; keeps account of those that cannot be read."""

    def __init__(self, size: int | None, channels: int | None, what: str):
        self.size, self.channels, self.what = size, channels, what
        self.unreadable: list[Path] = []
        self.kept: list[int] = []  # positions of the readable ones among all looked at
        self._parts: list[np.ndarray] = []
        self._first: tuple[Path, tuple[int, ...]] | None = None
        self._looked_at = 0

    @property
    def count(self) -> int:
        return len(self.kept)

    def read(self, paths: Sequence[Path]) -> None:
        """Append the images of `paths`, all of one shape."""
        readable = np.zeros(len(paths), bool)
        decoded = ((p, self._decode(p)) for p in paths)
        shapes = ((p, image.shape) for p, image in decoded if image is not None)
        self._first = self._first or next(shapes, None)
        if self._first is not None:
            shape = (len(paths), *self._first[1])
            check_memory(shape, self.what)
            images = np.empty(shape, np.uint8)

            def fill(index: int) -> None:
                image = self._decode(paths[index])
                if image is not None:
                    self._check(paths[index], image.shape)
                    images[index] = image
                    readable[index] = True

            for_each(fill, len(paths))
            self._parts.append(images if readable.all() else images[readable])
        self.unreadable += [p for p, good in zip(paths, readable) if not good]
        self.kept += (self._looked_at + np.flatnonzero(readable)).tolist()
        self._looked_at += len(paths)

    def images(self) -> np.ndarray:
        return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)

    def _decode(self, path: Path) -> np.ndarray | None:
        return read_picture(path, self.size, self.channels)

    def _check(self, path: Path, shape: tuple[int, ...]) -> None:
        first, expected = self._first
        if shape[2] != expected[2]:
            kind = {1: "grey", 3: "colour"}
            raise ValueError(
                f"{self.what}: {path} is {kind[shape[2]]}, {first} "
                f"{kind[expected[2]]}; pass channels=1 to make all of them grey, or "
                "channels=3 to make them RGB"
            )
        if shape != expected:
            raise ValueError(
                f"{self.what}: {path} is {shape}, {first} {expected}; pass image_size= "
                "to bring them to one size"
            )


def _left_out(unreadable: Sequence[Path]) -> str:
    files = "file that cannot" if len(unreadable) == 1 else "files that cannot"
    return f"left out {len(unreadable)} {files} be read: {_some(unreadable)}"


def _some(paths: Sequence[Path]) -> str:
    named = [f"{p.parent.name}/{p.name}" for p in paths[:_NAMED]]
    more = len(paths) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _origin(files, reader: _Reader, size: int | None, channels: int | None) -> str:
    parts = [f"image files in {files.directory}"]
    if files.classes:
        names = ", ".join(files.classes[:12])
        dots = ", ..." if len(files.classes) > 12 else ""
        kinds = "class" if len(files.classes) == 1 else "classes taking turns"
        parts.append(f"{len(files.classes)} {kinds} ({names}{dots})")
    if reader.unreadable:
        parts.append(_left_out(reader.unreadable))
    if channels is not None:
        parts.append({1: "as grey (ITU-R 601 luma)", 3: "as RGB"}[channels])
    if size is not None:
        parts.append(describe_resize(size))
    return "; ".join(parts)

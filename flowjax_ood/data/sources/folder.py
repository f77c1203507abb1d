"""Source `folder`: a directory of image files, such as notMNIST's or CelebA's."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowjax_ood.data.checks import check_memory, number_to_take
from flowjax_ood.data.preprocess import describe_resize, on_threads
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
    Labels number the class directories of all splits together, so that a class has one
    number in every split: names that are numbers by their value, then the others by
    text. Without class directories labels are None.

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
    wanted = len(files.paths) if limit is None else min(limit, len(files.paths))
    kept: list[int] = []
    unreadable: list[Path] = []
    decoded = on_threads(
        lambda i: read_picture(files.paths[i], image_size, channels), len(files.paths)
    )
    for index, image in enumerate(decoded):
        if image is None:
            unreadable.append(files.paths[index])
            continue
        if not kept:
            check_memory((wanted, *image.shape), what)
            images = np.empty((wanted, *image.shape), np.uint8)
            first = files.paths[index]
        _check(what, files.paths[index], image.shape, first, images.shape[1:])
        images[len(kept)] = image
        kept.append(index)
        if len(kept) == wanted:
            break
    looked_at = index + 1
    if len(unreadable) > MOST_UNREADABLE * looked_at:
        raise ValueError(
            f"{what}: {len(unreadable)} of {looked_at} image files cannot be read "
            f"({_some(unreadable)}), more than {MOST_UNREADABLE:.0%}: copy them again, "
            "convert them to PNG, or remove them to go on without"
        )
    number_to_take(limit, len(kept), what, "readable images")
    parts = [f"image files in {files.directory}"]
    labels = None
    if files.classes:
        labels = np.array(files.labels, np.int32)[kept]
        names = ", ".join(files.classes[:12])
        dots = ", ..." if len(files.classes) > 12 else ""
        kinds = "class" if len(files.classes) == 1 else "classes taking turns"
        here = len(set(files.labels))
        some = f", {here} of them here" if here < len(files.classes) else ""
        parts.append(f"{len(files.classes)} {kinds} ({names}{dots}){some}")
    if unreadable:
        noun = "file that cannot" if len(unreadable) == 1 else "files that cannot"
        parts.append(f"left out {len(unreadable)} {noun} be read: {_some(unreadable)}")
        warnings.warn(f"{what}: {parts[-1]}", stacklevel=2)
    if channels is not None:
        parts.append({1: "as grey (ITU-R 601 luma)", 3: "as RGB"}[channels])
    if image_size is not None:
        parts.append(describe_resize(image_size))
    origin = "; ".join(parts)
    return ImageSet(name, split, images[: len(kept)], labels, "folder", origin)


def _check(what: str, file: Path, shape: tuple, first: Path, expected: tuple) -> None:
    """Raise ValueError unless an image has the shape of the first one."""
    if shape[2] != expected[2]:
        kind = {1: "grey", 3: "colour"}
        raise ValueError(
            f"{what}: {file} is {kind[shape[2]]}, {first} {kind[expected[2]]}; pass "
            "channels=1 to make all of them grey, or channels=3 to make them RGB"
        )
    if shape != expected:
        raise ValueError(
            f"{what}: {file} is {shape}, {first} {expected}; pass image_size= to bring "
            "them to one size"
        )


def _some(paths: Sequence[Path]) -> str:
    named = [f"{p.parent.name}/{p.name}" for p in paths[:_NAMED]]
    more = len(paths) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")

"""List the image files that a directory holds for a split, in reading order."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path

from flowjax_ood.data.checks import unknown

# names of image files; those that `picture.FORMATS` lacks count as unreadable, because
# to pass over them would change a set silently
EXTENSIONS = (
    ".avif .bmp .gif .heic .heif .jfif .jp2 .jpe .jpeg .jpg .jxl .pbm .pgm .png .pnm "
    ".ppm .tga .tif .tiff .webp"
)
# directories of these names hold splits; all others hold classes
SPLITS = ("train", "test", "validation", "valid", "val", "dev", "extra", "train10k")


@dataclass(frozen=True)
class Files:
    """Image files in reading order, with the number of each one's class directory.

    `classes` are the names of the class directories of all splits together, in order:
    numbers by value, then text. Empty if this split has none, and then `labels` says
    nothing.
    """

    directory: Path
    paths: Sequence[Path]
    labels: Sequence[int]
    classes: tuple[str, ...]


def find_files(name: str, split: str, path: str | os.PathLike | None) -> Files:
    """List the files of `name:split`; layouts and order are those of `load_folder`."""
    root = _root(name, path)
    directory, splits = _split_directories(root, name, split)
    images, folders = _contents(directory)
    if not folders:
        if not images:
            raise FileNotFoundError(
                f"no image files in {directory}; there should be some, or class "
                f"directories of them ({EXTENSIONS})"
            )
        return Files(directory, images, [0] * len(images), ())
    if images:
        raise ValueError(
            f"{directory} holds images ({images[0].name}) and directories "
            f"({folders[0].name}); keep either images or class directories in it"
        )
    # of all splits: a class that one of them lacks must not renumber the others
    names = {folder.name for other in splits for folder in _contents(other)[1]}
    classes = sorted(names, key=_by_number)
    number = {name: label for label, name in enumerate(classes)}
    folders.sort(key=lambda folder: number[folder.name])
    turns = [
        (file, number[file.parent.name])
        for turn in zip_longest(*map(_class_images, folders))
        for file in turn
        if file is not None
    ]
    paths, labels = zip(*turns)
    return Files(directory, paths, labels, tuple(classes))


def _by_number(name: str) -> tuple[bool, int, str]:
    """Key that sorts `"2"` before `"10"`, and both before text."""
    number = name.isascii() and name.isdecimal()
    return not number, int(name) if number else 0, name


def _root(name: str, path: str | os.PathLike | None) -> Path:
    """`path/NAME`, or else `path` itself."""
    if path is None:
        raise ValueError(
            "source 'folder' needs path=, a directory of image files or one that holds "
            f"{name}/"
        )
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"no directory {os.fspath(path)!r}; path must be a directory of image "
            f"files, or one that holds {name}/"
        )
    if (path / name).is_dir():
        return path / name
    inside = [folder.name for folder in _contents(path)[1]]
    # a directory of data sets, not one: its directories would be taken for classes
    nested = any(_contents(path / i)[1] for i in inside if i not in SPLITS)
    if nested or get_close_matches(name, inside, n=1, cutoff=0.8):
        raise unknown(
            f"a directory in {path}", name, inside, "pass path=, the directory itself"
        )
    return path


def _split_directories(root: Path, name: str, split: str) -> tuple[Path, list[Path]]:
    """The directory of `split`, and those of all splits."""
    splits = [folder.name for folder in _contents(root)[1] if folder.name in SPLITS]
    if split in splits:
        return root / split, [root / other for other in splits]
    if splits:
        raise unknown(
            f"a split of {name!r} in {root}", split, splits, f"add {split}/ there"
        )
    if split != "test":
        raise ValueError(
            f"{root} has no split directories, so that its images are the split "
            f"'test', not {split!r}; write '{name}:test', or make train/ and test/"
        )
    return root, [root]


def _class_images(folder: Path) -> list[Path]:
    images, deeper = _contents(folder)
    if deeper:
        raise ValueError(
            f"{folder} is taken for a class, yet it holds directories "
            f"({deeper[0].name}); move its image files up, one level below "
            f"{folder.parent}"
        )
    if not images:
        raise ValueError(
            f"the class directory {folder} holds no image files; remove it, or add some"
        )
    return images


def _contents(directory: Path) -> tuple[list[Path], list[Path]]:
    """Image files and directories, by name, without hidden ones such as `._A.png`."""
    paths = sorted(
        (p for p in directory.iterdir() if p.name[0] != "."), key=attrgetter("name")
    )
    folders = [p for p in paths if p.is_dir()]
    known = EXTENSIONS.split()
    images = [p for p in paths if p.suffix.lower() in known and not p.is_dir()]
    return images, folders

"""What a user calls IMAGES: a folder, an archive, an IDX file; read bit by bit."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flowjax_ood.data.archives import open_archive
from flowjax_ood.data.preprocess import on_threads
from flowjax_ood.data.sources.folder_files import EXTENSIONS
from flowjax_ood.data.sources.idx import read_idx
from flowjax_ood.data.sources.picture import DEEP, FORMATS, GREY, read_picture
from flowjax_ood.interface.errors import UserError, os_error, user_errors

# keys of archives that hold images or vectors, and labels, in the order they are tried
KEYS = ("images", "embeddings", "features", "vectors", "x", "X", "arr_0")
LABEL_KEYS = ("labels", "y")
FORMS = (
    "a folder of image files (class folders or none), an image file, an .npz of images "
    "[N, H, W, C] or of embeddings [N, D], or an IDX file of images"
)


class Header(NamedTuple):
    """Of an image, without its pixels: `(height, width)`, and whether it has colour."""

    size: tuple[int, int]
    colour: bool


class Picture(NamedTuple):
    """What was made of an image, and a digest of its pixels; or a problem."""

    made: Any
    digest: bytes
    problem: str = ""


def unchanged(image: np.ndarray) -> np.ndarray:
    """The image itself, uint8 `[H, W, C]`."""
    return image


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples by name: images, read when asked for, or vectors.

    `labels [N]` number `classes`, both empty without. Either `paths`, `images`
    (uint8 `[N, H, W, C]`) or `vectors` (float32 `[N, D]`) is there.
    """

    source: str
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    images: np.ndarray | None = field(default=None, repr=False)
    vectors: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, at) -> "Examples":
        """Take examples by their numbers, in that order."""
        at = np.asarray(at, int)

        def of(array):
            return None if array is None else array[at]

        return Examples(
            self.source,
            tuple(self.names[i] for i in at),
            of(self.labels),
            self.classes,
            tuple(self.paths[i] for i in at) if self.paths else (),
            of(self.images),
            of(self.vectors),
        )

    def headers(self) -> Iterator[Header | None]:
        """Sizes and colours of all images; None of files that cannot be opened."""
        if self.images is not None:
            header = Header(self.images.shape[1:3], self.images.shape[3] == 3)
            return iter([header] * len(self))
        return on_threads(lambda i: _header(self.paths[i]), len(self))

    def pictures(
        self,
        rows: Sequence[int] | np.ndarray,
        make: Callable[[np.ndarray], Any] = unchanged,
    ) -> Iterator[Picture]:
        """Decode images and make something of each, on threads, in their order.

        What cannot be read has a `problem`.
        """

        def one(k: int) -> Picture:
            if self.images is not None:
                image = self.images[rows[k]]
                return Picture(make(image), digest(image))
            return _picture(self.paths[rows[k]], make)

        return on_threads(one, len(rows))


def read_examples(path: Path) -> Examples:
    """List what is at a path. Raises UserError for what holds no examples."""
    with user_errors():
        if path.is_dir():
            return _folder(path)
        if not path.exists():
            raise UserError(f"there is no {path}; give {FORMS}")
        if path.suffix == ".npz":
            return _archive(path)
        if path.suffix.lower() in EXTENSIONS.split():
            return Examples(str(path), (path.name,), paths=(path,))
        if "idx" in path.name.lower():
            return _idx(path)
    raise UserError(f"{path} is a file of another kind; give {FORMS}")


def digest(image: np.ndarray) -> bytes:
    """16 bytes that name the pixels, or the numbers of a vector."""
    found = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    found.update(np.ascontiguousarray(image).tobytes())
    return found.digest()


def image_files(path: Path) -> list[Path]:
    """Image files in a folder and those below, by name, without hidden ones.

    Links to folders are followed, each folder once.
    """
    known, files = EXTENSIONS.split(), []
    entered: set[str] = set()
    for folder, inner, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in entered:
            inner[:] = []
            continue
        entered.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        # a link to nothing is told of when it is read
        files += [
            Path(folder, name)
            for name in names
            if Path(name).suffix.lower() in known and not name.startswith(".")
        ]
    return sorted(files)


def _folder(path: Path) -> Examples:
    files = image_files(path)
    if not files:
        raise UserError(
            f"no image files in {path} or in folders below it; give {FORMS}"
        )
    inside = [file.relative_to(path) for file in files]
    # class folders: every image is in one
    labels = None
    classes: tuple[str, ...] = ()
    if all(len(name.parts) > 1 for name in inside):
        classes = tuple(sorted({name.parts[0] for name in inside}))
        if len(classes) > 1:
            number = {name: k for k, name in enumerate(classes)}
            labels = np.array([number[name.parts[0]] for name in inside])
        else:
            classes = ()
    names = tuple(name.as_posix() for name in inside)
    return Examples(str(path), names, labels, classes, tuple(files))


def _archive(path: Path) -> Examples:
    with open_archive(path) as archive:
        key = next((k for k in KEYS if k in archive.keys), None)
        if key is None and len(archive.keys) == 1:
            key = archive.keys[0]
        if key is None:
            raise UserError(
                f"{path} holds {', '.join(archive.keys) or 'nothing'}, none of which "
                f"is called {', '.join(KEYS)}: name its array so"
            )
        array = archive.read(key)
        labels = None
        for name in LABEL_KEYS:
            if labels is None:
                labels = archive.labels(name)
    return _of_array(array, labels, path, key)


def _of_array(array, labels, path: Path, key: str) -> Examples:
    what = f"{path}[{key!r}]"
    if array.ndim == 0 or 0 in array.shape:
        raise UserError(f"{what} is empty: it has shape {array.shape}")
    names = tuple(f"{path.stem}[{i}]" for i in range(len(array)))
    classes: tuple[str, ...] = ()
    if labels is not None:
        if labels.shape != (len(array),):
            raise UserError(
                f"{path}: labels have shape {labels.shape}, there are {len(array)} "
                "examples: give one label each"
            )
        values, labels = np.unique(labels, return_inverse=True)
        classes = tuple(map(str, values))
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        images = array[..., None] if array.ndim == 3 else array
        if images.shape[3] not in (1, 3):
            raise UserError(
                f"{what} has images of {images.shape[3]} channels; give grey ones (1) "
                "or RGB (3)"
            )
        return Examples(str(path), names, labels, classes, images=images)
    if array.dtype.kind == "f" and array.ndim == 2:
        with np.errstate(over="ignore"):
            vectors = array.astype(np.float32)
        bad = ~np.isfinite(vectors).all(1)
        if bad.any():
            raise UserError(
                f"{what}: {bad.sum()} of {len(bad)} embeddings hold NaN or infinity "
                f"in float32, the first is number {int(bad.argmax())}: leave them out"
            )
        return Examples(str(path), names, labels, classes, vectors=vectors)
    raise UserError(
        f"{what} is {array.dtype} of shape {array.shape}; give images as uint8 "
        "[N, H, W, C] or embeddings as floating-point [N, D]"
    )


def _idx(path: Path) -> Examples:
    images = read_idx(path, 3)[..., None]
    other = path.with_name(
        path.name.replace("images", "labels").replace("idx3", "idx1")
    )
    labels = None
    if other != path and other.is_file():
        labels = read_idx(other, 1).astype(np.int32)
    return _of_array(images, labels, path, "images")


def _header(path: Path) -> Header | None:
    from PIL import Image

    try:
        formats = [name for name in FORMATS if name in Image.OPEN]
        with Image.open(path, formats=formats or None) as picture:
            width, height = picture.size
            # orientations 5 to 8 lie on their side
            if picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):
                width, height = height, width
            grey = picture.mode in GREY or picture.mode.startswith(DEEP)
            return Header((height, width), not grey)
    except Exception:
        # whatever is broken is told of when the pixels are read
        return None


def _picture(path: Path, make: Callable[[np.ndarray], Any]) -> Picture:
    try:
        # what the system says of a file, the decoder would call damage
        path.open("rb").close()
        image = read_picture(path, as_shown=True)
    except OSError as error:
        return Picture(None, b"", os_error(error))
    except ValueError as error:
        return Picture(None, b"", str(error))
    if image is None:
        return Picture(
            None,
            b"",
            f"{path} cannot be decoded: it is damaged, or of a format that is not read",
        )
    return Picture(make(image), digest(image))

"""Paths of files on a disk or of objects in a bucket, used alike.

`as_path` is the door: text becomes a `pathlib.Path`, or a `BucketPath` with those
methods of `Path` that a run needs. A bucket has no folders: one is there when something
is below it, making it does nothing, and it goes with the last object in it.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from flowjax_ood.runtime import bucket_client as client
from flowjax_ood.runtime import leases

MARK = "://"


class Stat(NamedTuple):
    """What is known of an object, by the names `os.stat` uses."""

    st_size: int
    st_mtime: float


def is_url(path: object) -> bool:
    """Whether text is a URL such as `s3://bucket/run`, and not a path on a disk."""
    scheme, mark, _ = str(path).partition(MARK)
    return bool(mark) and scheme.isalnum()


def as_path(path: "str | os.PathLike | BucketPath") -> "AnyPath":
    """The path that text names: in a bucket where it is a URL, else on a disk.

    Raises ValueError for a URL of storage that is not served.
    """
    if isinstance(path, BucketPath):
        return path
    return BucketPath(str(path)) if is_url(path) else Path(path)


def on_disk(path: "str | os.PathLike | BucketPath", what: str) -> Path:
    """The path on a disk; ValueError where it is of a bucket, for `what` needs one."""
    if isinstance(path, BucketPath) or is_url(path):
        raise ValueError(f"{path}: {what} cannot be written to a bucket")
    return Path(path)


class BucketPath:
    """The path of an object in a bucket, or of a folder: what names have in common.

    It is no `os.PathLike`: `Path(path)` is a TypeError, and no file on the disk by the
    name of a bucket. I/O raises FileNotFoundError, PermissionError, or BucketError, an
    OSError, once the bucket has failed for `FLOWJAX_OOD_BUCKET_SECONDS`. What a run
    that has lost its lock would write is refused (`leases`).
    """

    def __init__(self, url: str):
        client.check_scheme(url)
        self._scheme, path = url.partition(MARK)[0], _path(url)
        if path == PurePosixPath("/") or ".." in path.parts:
            raise ValueError(f"{url}: give {self._scheme}://BUCKET/DIR, without ..")
        self._path = path
        # what a listing has shown of it
        self._seen: Stat | None = None
        self._folder = False

    def _at(
        self,
        path: PurePosixPath,
        entry: client.Entry | None = None,
        folder: bool = False,
    ) -> "BucketPath":
        other = object.__new__(BucketPath)
        other._scheme, other._path = self._scheme, path
        other._seen = Stat(entry.size, entry.written) if entry else None
        other._folder = folder
        return other

    # --- names --------------------------------------------------------------------

    @property
    def url(self) -> str:
        """`s3://bucket/name`."""
        return f"{self._scheme}{MARK}{str(self._path)[1:]}"

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def stem(self) -> str:
        return self._path.stem

    @property
    def suffix(self) -> str:
        return self._path.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket, as a URL, and the names below it."""
        _, bucket, *names = self._path.parts
        return (f"{self._scheme}{MARK}{bucket}", *names)

    @property
    def parent(self) -> "BucketPath":
        """The folder above; of a bucket, itself."""
        return self if len(self._path.parts) == 2 else self._at(self._path.parent)

    def __truediv__(self, name: str | PurePosixPath) -> "BucketPath":
        return self._at(self._path / name)

    def with_name(self, name: str) -> "BucketPath":
        return self._at(self._path.with_name(name))

    def with_stem(self, stem: str) -> "BucketPath":
        return self._at(self._path.with_stem(stem))

    def relative_to(self, other: "BucketPath") -> PurePosixPath:
        return self._path.relative_to(other._path)

    def absolute(self) -> "BucketPath":
        return self

    def resolve(self) -> "BucketPath":
        return self

    def is_symlink(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"BucketPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketPath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: "BucketPath") -> bool:
        return self._path < other._path

    # --- what is there --------------------------------------------------------------

    def is_file(self) -> bool:
        if self._seen or self._folder:
            return not self._folder
        return client.look(self.url) is not None

    def is_dir(self) -> bool:
        if self._seen or self._folder:
            return self._folder
        return any(map(bool, client.children(self.url)))

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def stat(self) -> Stat:
        """Of a folder, the bytes of all below it and the newest time."""
        if self._seen:
            return self._seen
        if not self._folder and (entry := client.look(self.url)):
            return Stat(entry.size, entry.written)
        if not (inside := client.below(self.url)):
            raise FileNotFoundError(2, "No such object", str(self))
        return Stat(sum(e.size for e in inside), max(e.written for e in inside))

    def iterdir(self) -> Iterator["BucketPath"]:
        """Objects and folders just below; FileNotFoundError where there are none."""
        objects, folders = client.children(self.url)
        if not (objects or folders):
            raise FileNotFoundError(2, "No such folder", str(self))
        for entry in objects:
            yield self._at(_path(entry.url), entry)
        for url in folders:
            yield self._at(_path(url), folder=True)

    def objects(self) -> list["BucketPath"]:
        """All objects below, in the order of their names."""
        inside = client.below(self.url)
        return [self._at(_path(entry.url), entry) for entry in inside]

    def rglob(self, pattern: str) -> list["BucketPath"]:
        """Objects at any depth whose names match."""
        return [path for path in self.objects() if fnmatchcase(path.name, pattern)]

    def glob(self, pattern: str) -> Iterator["BucketPath"]:
        """Objects and folders by patterns of names, level by level: `*/config.json`."""
        first, _, rest = pattern.partition("/")
        if not set(first) & set("*?["):
            found = self / first
            if rest:
                yield from found.glob(rest)
            elif found.exists():
                yield found
            return
        try:
            inside = list(self.iterdir())
        except FileNotFoundError:
            return
        for path in inside:
            if fnmatchcase(path.name, first):
                yield from path.glob(rest) if rest else (path,)

    # --- reading and writing --------------------------------------------------------

    def _mine(self) -> None:
        """Raise BucketError where this process has lost the lock of a folder above."""
        leases.check(self.url)

    def read_bytes(self) -> bytes:
        return client.read(self.url)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode: str) -> BytesIO:
        """The object's content, for reading bytes alone."""
        if mode != "rb":
            raise ValueError(f"{self}: objects are written whole, not opened {mode!r}")
        return BytesIO(client.read(self.url, self.stat().st_size))

    def write_bytes(self, data: bytes, seconds: float | None = None) -> None:
        client.write(self.url, data, seconds, self._mine)

    def create(self, data: bytes) -> None:
        """Write what is not there yet, or FileExistsError; see `bucket_client`."""
        client.create(self.url, data, self._mine)

    def upload(self, file: Path) -> None:
        """Become a copy of a file."""
        client.upload(file, self.url, self._mine)

    def download(self, file: Path) -> None:
        """Make a copy on the disk."""
        client.download(self.url, file, self.stat().st_size)

    def copy(self, to: "BucketPath") -> None:
        """Make a copy within the same kind of storage."""
        client.copy(self.url, to.url, self.stat().st_size, to._mine)

    def unlink(self, missing_ok: bool = False) -> None:
        client.delete(self.url, self._mine)

    def mkdir(self, mode: int = 0, parents: bool = False, exist_ok: bool = False):
        """Nothing to do: folders of a bucket are names alone."""


def _path(url: str) -> PurePosixPath:
    """`/bucket/name` of an object's URL."""
    return PurePosixPath("/", url.partition(MARK)[2])


AnyPath = Path | BucketPath

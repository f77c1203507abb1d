"""Files that grow by lines: on a disk a file, in a bucket parts of one.

Objects cannot be appended to. `metrics.jsonl` in a bucket is a folder of parts,
`metrics.jsonl.parts/GENERATION-NUMBER-TOKEN`, read in the order of their names. Who
appends writes a part of its own, again and again until it is `LARGEST` bytes long, and
then begins the next: an object is old or new, so no line is ever cut. Replacing all
lines is one part of the next generation; parts of earlier ones do not count.
"""

import os
import uuid
from pathlib import Path
from typing import Protocol

from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.paths import AnyPath, BucketPath

PARTS, LARGEST = ".parts", 1 << 16


class LineFile(Protocol):
    """Lines at a path; `OSError` where they cannot be read or written."""

    def create(self) -> None:
        """Make it, empty, where it is missing."""

    def append(self, line: bytes) -> None:
        """Add a line, which ends in a newline, after the last."""

    def read(self) -> bytes:
        """All lines; FileNotFoundError where there is no file."""

    def replace(self, lines: bytes) -> None:
        """Replace all lines by `lines`, in one step."""


def line_file(path: AnyPath) -> LineFile:
    """The lines at `path`; who appends keeps what this returns, one for each file."""
    return _Parts(path) if isinstance(path, BucketPath) else _File(path)


class _File:
    """A file of a disk. A last line that a crash has cut short is ended, and kept."""

    def __init__(self, path: Path):
        self.path = path

    def create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("a").close()

    def append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered: on its way to the disk at once, and whole
        with self.path.open("a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    # a crash or a full disk cut the last line: end it
                    line = b"\n" + line
            written = file.write(line)
        if written != len(line):
            raise OSError(f"{written} of {len(line)} bytes written")

    def read(self) -> bytes:
        return self.path.read_bytes()

    def replace(self, lines: bytes) -> None:
        write_bytes(self.path, lines)


class _Parts:
    """The parts of a file in a bucket."""

    def __init__(self, path: BucketPath):
        self.folder = path.with_name(path.name + PARTS)
        self._part: BucketPath | None = None
        self._lines = b""

    def create(self) -> None:
        if not self.folder.is_dir():
            self._new(0, 0).write_bytes(b"")

    def append(self, line: bytes) -> None:
        part, lines = self._part, self._lines
        if part is None or len(lines) + len(line) > LARGEST:
            at = _place(parts[-1]) if (parts := self._parts()) else (0, 0)
            part, lines = self._new(at[0], at[1] + 1), b""
        # what could not be written is not of the next line's part
        part.write_bytes(lines + line)
        self._part, self._lines = part, lines + line

    def read(self) -> bytes:
        while True:
            if not (parts := self._parts()):
                raise FileNotFoundError(2, "No such file", str(self.folder))
            try:
                return b"".join(part.read_bytes() for part in parts)
            except FileNotFoundError:
                continue  # replaced while we read

    def replace(self, lines: bytes) -> None:
        old = [part for part in self.folder.objects() if _place(part)]
        generation = max((_place(part)[0] for part in old), default=0)
        self._part, self._lines = self._new(generation + 1, 0), lines
        self._part.write_bytes(lines)
        for part in old:
            part.unlink()

    def _new(self, generation: int, number: int) -> BucketPath:
        token = uuid.uuid4().hex[:8]
        return self.folder / f"{generation:06d}-{number:06d}-{token}"

    def _parts(self) -> list[BucketPath]:
        """Those of the newest generation; what others put there is left out."""
        parts = [part for part in self.folder.objects() if _place(part)]
        last = max((_place(part)[0] for part in parts), default=0)
        return [part for part in parts if _place(part)[0] == last]


def _place(part: BucketPath) -> tuple[int, ...]:
    """`(generation, number)` of a part; empty for another object's name."""
    fields = part.name.split("-")
    if len(fields) != 3 or not all(f.isdecimal() and f.isascii() for f in fields[:2]):
        return ()
    return int(fields[0]), int(fields[1])

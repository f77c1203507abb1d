"""Lengths and checksums of a directory's files, to see damage before it is read.

The array format below our checkpoints checks its index, but not the arrays: a flipped
bit in a large one would be read back as another number.
"""

import json
import zlib
from pathlib import Path

from flowjax_ood.runtime.files import write_bytes
from flowjax_ood.runtime.paths import AnyPath

NAME = "manifest.json"
# orbax notes there when it was done, after the manifest is written: no data
NOTES = "_CHECKPOINT_METADATA"


def write(directory: Path) -> None:
    """Record every file below `directory` in its `manifest.json`."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    names = sorted(path.relative_to(directory).as_posix() for path in paths)
    lasting = [n for n in names if not n.startswith(NAME) and n != NOTES]
    files = {name: list(_fingerprint(directory / name)) for name in lasting}
    text = json.dumps({"size and crc32": files}, indent=1) + "\n"
    write_bytes(directory / NAME, text.encode())


def damage(directory: AnyPath, checksums: bool = True) -> str:
    """Say what is wrong with the files below `directory`; empty if nothing is.

    Without `checksums`, by their lengths alone: nothing large is read.

    A directory without a manifest passes: a crash can come between the last file and
    the manifest. Files the manifest does not know are ignored.
    """
    path = directory / NAME
    if not path.exists():
        return ""
    try:
        files = recorded(path.read_text())
    except ValueError:
        return f"{NAME} is unreadable"
    for name, (size, crc) in files.items():
        if not (directory / name).is_file():
            return f"{name} is missing"
        length = (directory / name).stat().st_size
        if length != size:
            return f"{name} has {length} bytes, not {size}"
        if checksums and _fingerprint(directory / name) != (size, crc):
            return f"{name} has the wrong checksum"
    return ""


def recorded(text: str) -> dict[str, tuple[int, int]]:
    """`{file: (length, checksum)}` of a manifest's text; ValueError for any other."""
    try:
        files = json.loads(text)["size and crc32"]
        return {name: (int(size), int(crc)) for name, (size, crc) in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no manifest ({error})") from error


def _fingerprint(path: AnyPath, chunk: int = 1 << 24) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while data := file.read(chunk):
            size, crc = size + len(data), zlib.crc32(data, crc)
    return size, crc

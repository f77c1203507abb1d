"""Files that are either absent, old, or complete: never half written.

Of a disk or of a bucket, whichever the path is of; nobody else needs to ask.
"""

import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flowjax_ood.runtime.paths import AnyPath, BucketPath, as_path


@contextmanager
def replacing(path: str | os.PathLike | BucketPath) -> Iterator[Path]:
    """Give a temporary file to write, which becomes `path` when the block succeeds.

    Missing parent folders are made. The file is a neighbour of `path`, because
    `os.replace` is atomic only within one file system; of an object, it is in the
    machine's directory of temporary files. If the block raises, `path` stays as it was;
    an OSError of writing names `path`.
    """
    path = as_path(path)
    if isinstance(path, BucketPath):
        with tempfile.TemporaryDirectory(prefix="flowjax_ood_") as directory:
            temporary = Path(directory) / path.name
            yield temporary
            path.upload(temporary)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    )
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # of the temporary file, or of none, as on a full disk
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike | BucketPath, data: bytes) -> AnyPath:
    """Write `data` to `path` in one step; missing parent folders are made."""
    path = as_path(path)
    if isinstance(path, BucketPath):
        path.write_bytes(data)
        return path
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def try_writing(directory: AnyPath) -> None:
    """Make `directory`, and write some bytes there for a moment; OSError if it fails.

    Some bytes: a name alone fits on a full disk.
    """
    if isinstance(directory, BucketPath):
        probe = directory / f".writable-{uuid.uuid4().hex[:8]}"
        probe.write_bytes(bytes(4096))
        probe.unlink()
        return
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(4096))


def free_bytes(directory: AnyPath) -> int | None:
    """Bytes that are free where a directory is; None in a bucket, which has no end."""
    if isinstance(directory, BucketPath):
        return None
    return shutil.disk_usage(directory).free


def remove_folder(directory: AnyPath) -> None:
    """Remove what is there of a folder and all below it; what cannot be stays."""
    if isinstance(directory, BucketPath):
        for path in directory.objects():
            path.unlink()
    else:
        shutil.rmtree(directory, ignore_errors=True)


def folders_and_files(directory: AnyPath) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a directory, each sorted.

    Empty where it is gone or cannot be read.
    """
    try:
        found = sorted((path.name, path.is_dir()) for path in directory.iterdir())
    except OSError:
        return [], []
    folders = [name for name, is_folder in found if is_folder]
    return folders, [name for name, is_folder in found if not is_folder]


def names_apart(paths: Iterable[AnyPath]) -> list[str]:
    """Each path below the folder that all of them share, or else as it is."""
    paths = [path.absolute() for path in paths]
    ways = [path.parts[:-1] for path in paths]
    same = [len(set(names)) == 1 for names in zip(*ways, strict=False)]
    shared = (*same, False).index(False)
    return ["/".join(p.parts[shared:]) if shared else str(p) for p in paths]

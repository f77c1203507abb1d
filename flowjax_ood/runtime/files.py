"""Files that are either absent, old, or complete: never half written."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary file to write, which becomes `path` when the block succeeds.

    Missing parent folders are made. The file is a neighbour of `path`, because
    `os.replace` is atomic only within one file system. If the block raises, `path`
    stays as it was; an OSError of writing names `path`.
    """
    path = Path(path)
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


def write_bytes(path: str | os.PathLike, data: bytes) -> Path:
    """Write `data` to `path` in one step; missing parent folders are made."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)

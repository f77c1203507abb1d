"""Requests to a bucket: repeated for a bounded time, and their errors in plain words.

Objects are read and written whole: a reader sees the old content or the new one. s3fs
(extra `buckets`) speaks to the bucket; `AWS_ENDPOINT_URL` names one that is not
Amazon's. What s3fs and botocore would repeat by themselves is turned off: a bucket that
does not answer would hold a run for the product of all their attempts.
"""

import errno
import os
import random
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from flowjax_ood.runtime.messages import first_line

T = TypeVar("T")

# for how many seconds a failing request is repeated
PATIENCE, SECONDS = "FLOWJAX_OOD_BUCKET_SECONDS", 120.0
# seconds: to connect, for an answer, and between two attempts at most
CONNECT, ANSWER, LONGEST = 10, 30, 10.0
# bytes a second, below which a connection is taken for dead; and of an object whose
# size is not known
SLOWEST, USUAL = 250_000, 1 << 24
# they stay as they are, however often one asks
FINAL = (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE)
# what was sent did not arrive as it was: errno is EINVAL, too
GARBLED = ("BadDigest", "IncompleteBody", "RequestTimeout")
REFUSED = {
    "gs": (
        "gs:// is not served: gcp-storage-emulator, on which it was tried, does not "
        "keep to create-if-absent, so the lock of a run could not be tested; mount the "
        "bucket (gcsfuse) and give that directory, or use an s3:// bucket"
    )
}


class BucketError(OSError):
    """A bucket refuses, or did not answer in time; `filename` is the object's URL."""


class Entry(NamedTuple):
    """An object of a listing: its key, bytes, and seconds since 1970 when written."""

    key: str
    size: int
    written: float


def patience() -> float:
    """Seconds for which a failing request is repeated.

    Raises ValueError where `FLOWJAX_OOD_BUCKET_SECONDS` is no number above 0.
    """
    text = os.environ.get(PATIENCE, "")
    try:
        seconds = float(text or SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{PATIENCE}={text}: give seconds, a number above 0")
    return seconds


def check_scheme(url: str) -> None:
    """Raise ValueError, saying why, for a URL of storage that is not served."""
    scheme = url.partition("://")[0]
    if scheme in REFUSED:
        raise ValueError(f"{url}: {REFUSED[scheme]}")
    if scheme != "s3":
        raise ValueError(f"{url}: {scheme}:// is not served; buckets are s3://NAME/DIR")
    patience()


@cache
def _file_system():
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise BucketError(
            errno.ENOTSUP,
            "buckets need s3fs, which is not installed: pip install -e '.[buckets]'",
        ) from error
    waiting = {"connect_timeout": CONNECT, "read_timeout": ANSWER}
    # a listing that is kept would hide what other processes write
    files = S3FileSystem(
        use_listings_cache=False,
        skip_instance_cache=True,
        config_kwargs=waiting | {"retries": {"max_attempts": 0}},
    )
    files.retries = 1
    return files


def _repeated(url: str, request: Callable[[int], T], seconds: float | None = None) -> T:
    """`request(attempt)`, until it succeeds or has failed for `seconds` (`patience()`).

    Raises FileNotFoundError, FileExistsError and PermissionError as they are, and
    BucketError for all else, naming `url`.
    """
    seconds = patience() if seconds is None else seconds
    attempt, failing, wait = 0, None, 0.1
    while True:
        try:
            return request(attempt)
        except (FileNotFoundError, FileExistsError, PermissionError) as error:
            raise type(error)(error.errno, _said(error), url) from error
        except BucketError:
            raise
        except Exception as error:
            now = time.monotonic()
            failing = now if failing is None else failing
            if _final(error):
                raise BucketError(errno.EIO, _said(error), url) from error
            if now - failing + wait > seconds:
                raise BucketError(
                    errno.EIO,
                    f"the bucket failed for {seconds:g} s ({_said(error)}); run again "
                    f"when it answers, or give it longer ({PATIENCE})",
                    url,
                ) from error
        attempt += 1
        # several processes must not come back all at once
        time.sleep(wait * random.uniform(0.5, 1.0))
        wait = min(2 * wait, LONGEST)


def _final(error: Exception) -> bool:
    """Whether asking again cannot help."""
    if isinstance(error, (TypeError, AttributeError, LookupError, ImportError)):
        return True
    if type(error).__name__ in ("NoCredentialsError", "ParamValidationError"):
        return True
    code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
    return getattr(error, "errno", None) in FINAL and code not in GARBLED


def _said(error: Exception) -> str:
    if type(error).__name__ == "NoCredentialsError":
        return "no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
    said = getattr(error, "strerror", None) or first_line(error)
    return said or type(error).__name__


# --- requests; keys are `bucket/name` -----------------------------------------------


def _ask(
    method: str,
    key: str,
    *arguments: Any,
    size: int = 0,
    seconds: float | None = None,
    **options: Any,
) -> Any:
    """What s3fs answers, within the time that `size` bytes may take; see `_repeated`.

    Each request is bounded here: botocore's own limit does not hold while a bucket is
    to say that it takes what one has to send.
    """
    options["timeout"] = ANSWER + size / SLOWEST

    def request(_: int) -> Any:
        return getattr(_file_system(), method)(*arguments, **options)

    return _repeated(f"s3://{key}", request, seconds)


def read(key: str, size: int = USUAL) -> bytes:
    """All of an object, of about `size` bytes."""
    return _ask("cat_file", key, key, size=size)


def write(key: str, data: bytes, seconds: float | None = None) -> None:
    """Write an object, whole; one that is there is replaced."""
    _ask("pipe_file", key, key, data, size=len(data), seconds=seconds)


def create(key: str, data: bytes) -> None:
    """Write an object that is not there; FileExistsError where it is.

    Of several who create one object at a time, one succeeds. `data` must tell them
    apart: by it, one knows an object whose creation was not answered.
    """
    options = {"mode": "create", "timeout": ANSWER}

    def request(attempt: int) -> None:
        try:
            _file_system().pipe_file(key, data, **options)
        except FileExistsError:
            if not attempt or _file_system().cat_file(key, timeout=ANSWER) != data:
                raise

    _repeated(f"s3://{key}", request)


def upload(file: Path, key: str) -> None:
    """Copy a file into an object; a large one goes in parts."""
    _ask("put_file", key, str(file), key, size=file.stat().st_size)


def download(key: str, file: Path, size: int) -> None:
    """Copy an object of so many bytes into a file."""
    _ask("get_file", key, key, str(file), size=size)


def copy(key: str, to: str, size: int) -> None:
    """Copy an object of so many bytes within its bucket, which sends nothing here."""
    _ask("cp_file", key, key, to, size=size)


def delete(key: str) -> None:
    """Remove an object; nothing happens where there is none."""
    _ask("rm_file", key, key)


def look(key: str) -> Entry | None:
    """An object without its content; None where there is none."""
    try:
        info = _ask("info", key, key)
    except FileNotFoundError:
        return None
    return _entry(info) if info["type"] == "file" else None


def below(key: str) -> list[Entry]:
    """All objects below `key/`, by their names; empty where there are none.

    Raises FileNotFoundError where the bucket is not there.
    """
    found = map(_entry, _ask("find", key, f"{key}/", detail=True).values())
    # of a folder that is none, s3fs gives the object of that name
    return sorted(entry for entry in found if entry.key.startswith(f"{key}/"))


def children(key: str) -> tuple[list[Entry], list[str]]:
    """`(objects, folders)` just below `key/`; a folder is what names have in common."""
    try:
        inside = _ask("ls", key, f"{key}/", detail=True)
    except FileNotFoundError:
        return [], []
    inside = [info for info in inside if info["name"].strip("/") != key]
    folders = sorted(i["name"].strip("/") for i in inside if i["type"] == "directory")
    return sorted(_entry(i) for i in inside if i["type"] == "file"), folders


def _entry(info: dict[str, Any]) -> Entry:
    when = info.get("LastModified")
    return Entry(info["name"], int(info["size"]), when.timestamp() if when else 0.0)

"""Requests to a bucket: repeated for a bounded time, and their errors in plain words.

Objects are named by URLs, `s3://bucket/name` or `gs://bucket/name`, and are read and
written whole: a reader sees the old content or the new one. What the packages that
speak to buckets (extra `buckets`) would repeat by themselves is turned off: a bucket
that does not answer would hold a run for the product of all their attempts.
"""

import errno
import os
import random
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from flowjax_ood.runtime.bucket_store import Entry, Store
from flowjax_ood.runtime.messages import first_line

T = TypeVar("T")
Before = Callable[[], None] | None

# what speaks to the buckets of a scheme
PACKAGES = {"s3": "s3fs", "gs": "google-cloud-storage"}
# for how many seconds a failing request is repeated
PATIENCE, SECONDS = "FLOWJAX_OOD_BUCKET_SECONDS", 120.0
# seconds: for an answer, and between two attempts at most
ANSWER, LONGEST = 30, 10.0
# bytes a second, below which a connection is taken for dead; and of an object whose
# size is not known
SLOWEST, USUAL = 250_000, 1 << 24


# of what a package raises without one
NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
}


class BucketError(OSError):
    """A bucket refuses, or did not answer in time; `filename` is the object's URL."""


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
    """Raise ValueError for a URL of storage that is not served."""
    scheme = url.partition("://")[0]
    if scheme not in PACKAGES:
        raise ValueError(
            f"{url}: {scheme}:// is not served; buckets are s3://NAME/DIR and "
            "gs://NAME/DIR"
        )
    patience()


@cache
def store(scheme: str) -> Store:
    """The storage of a scheme; BucketError where its package is not installed."""
    try:
        if scheme == "s3":
            from flowjax_ood.runtime.s3_store import S3Store

            return S3Store()
        from flowjax_ood.runtime.gs_store import GSStore

        return GSStore()
    except ImportError as error:
        raise BucketError(
            errno.ENOTSUP,
            f"{scheme}:// needs {PACKAGES[scheme]}, which is not installed "
            f"({first_line(error)}): pip install -e '.[buckets]'",
        ) from error


def _ask(
    url: str,
    request: Callable[[Store, str, float], T],
    size: int = 0,
    seconds: float | None = None,
    before: Before = None,
) -> T:
    """`request(store, key, timeout)`, until it succeeds or has failed for `seconds`.

    Each attempt may take as long as `size` bytes may, and all of them `seconds`
    (`patience()`). `before()` precedes each of them: what it raises ends them. Raises
    FileNotFoundError, FileExistsError and PermissionError as they are, and BucketError
    for all else, naming `url`.
    """
    scheme, _, key = url.partition("://")
    asked = store(scheme)
    seconds = patience() if seconds is None else seconds
    failing, wait = None, 0.1
    while True:
        if before:
            before()
        try:
            return request(asked, key, ANSWER + size / SLOWEST)
        except (FileNotFoundError, FileExistsError, PermissionError) as error:
            number = error.errno or NUMBERS[type(error)]
            raise type(error)(number, _said(asked, error), url) from error
        except Exception as error:
            now = time.monotonic()
            failing = now if failing is None else failing
            if _is_final(asked, error):
                raise BucketError(errno.EIO, _said(asked, error), url) from error
            if now - failing + wait > seconds:
                raise BucketError(
                    errno.EIO,
                    f"the bucket failed for {seconds:g} s ({_said(asked, error)}); run "
                    f"again when it answers, or give it longer ({PATIENCE})",
                    url,
                ) from error
        # several processes must not come back all at once
        time.sleep(wait * random.uniform(0.5, 1.0))
        wait = min(2 * wait, LONGEST)


def _is_final(asked: Store, error: Exception) -> bool:
    """Whether asking again cannot help."""
    mistakes = (TypeError, AttributeError, LookupError, ImportError)
    return isinstance(error, mistakes) or asked.is_final(error)


def _said(asked: Store, error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return asked.says(error) or strerror or first_line(error) or type(error).__name__


# --- requests; `before()` precedes every attempt to write ---------------------------


def read(url: str, size: int = USUAL) -> bytes:
    """All of an object, of about `size` bytes."""
    return _ask(url, lambda store, key, timeout: store.read(key, timeout), size)


def write(
    url: str, data: bytes, seconds: float | None = None, before: Before = None
) -> None:
    """Write an object, whole; one that is there is replaced."""

    def request(store: Store, key: str, timeout: float) -> None:
        store.write(key, data, timeout)

    _ask(url, request, len(data), seconds, before)


def create(url: str, data: bytes, before: Before = None) -> None:
    """Write an object that is not there; FileExistsError where it is.

    Of several who create one object at a time, one succeeds. `data` must tell them
    apart: by it, one knows an object whose creation was not answered.
    """

    def request(store: Store, key: str, timeout: float) -> None:
        try:
            store.create(key, data, timeout)
        except FileExistsError as there:
            try:
                ours = store.read(key, timeout) == data
            except (FileNotFoundError, PermissionError):
                # it was there, and was not ours
                ours = False
            if not ours:
                raise there

    _ask(url, request, before=before)


def upload(file: Path, url: str, before: Before = None) -> None:
    """Copy a file into an object; a large one goes in parts."""

    def request(store: Store, key: str, timeout: float) -> None:
        store.upload(key, file, timeout)

    _ask(url, request, file.stat().st_size, before=before)


def download(url: str, file: Path, size: int) -> None:
    """Copy an object of so many bytes into a file."""
    _ask(url, lambda store, key, timeout: store.download(key, file, timeout), size)


def copy(url: str, to: str, size: int, before: Before = None) -> None:
    """Copy an object of so many bytes within its storage, which sends nothing here.

    Raises ValueError for another kind of storage.
    """
    scheme, _, target = to.partition("://")
    if not url.startswith(f"{scheme}://"):
        raise ValueError(f"{url} cannot be copied to {to}: another kind of storage")

    def request(store: Store, key: str, timeout: float) -> None:
        store.copy(key, target, timeout)

    _ask(url, request, size, before=before)


def delete(url: str, before: Before = None) -> None:
    """Remove an object; nothing happens where there is none."""
    _ask(url, lambda store, key, time: store.delete(key, time), before=before)


def look(url: str) -> Entry | None:
    """An object without its content; None where there is none."""
    return _ask(url, lambda store, key, timeout: store.look(key, timeout))


def below(url: str) -> list[Entry]:
    """All objects below `url/`, by their names; empty where there are none.

    Raises FileNotFoundError where the bucket is not there.
    """
    return sorted(_ask(url, lambda store, key, timeout: store.below(key, timeout)))


def children(url: str) -> tuple[list[Entry], list[str]]:
    """`(objects, folders)` just below `url/`; a folder is what names have in common.

    Folders are URLs.
    """
    try:
        objects, folders = _ask(
            url, lambda store, key, timeout: store.children(key, timeout)
        )
    except FileNotFoundError:
        return [], []
    return sorted(objects), sorted(folders)

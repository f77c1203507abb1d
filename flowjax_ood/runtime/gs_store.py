"""Google's Cloud Storage, by google-cloud-storage.

Credentials are those of the machine, or of `gcloud auth application-default login`.
`STORAGE_EMULATOR_HOST` names a server that is not Google's, which needs none.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.api_core import exceptions
from google.auth.exceptions import (
    DefaultCredentialsError,
    RefreshError,
    TransportError,
)
from google.cloud import storage

from flowjax_ood.runtime.bucket_store import Entry, Store
from flowjax_ood.runtime.messages import first_line

# they stay as they are, however often one asks
FINAL = (
    exceptions.BadRequest,
    exceptions.LengthRequired,
    exceptions.MethodNotAllowed,
    exceptions.MethodNotImplemented,
    exceptions.RequestRangeNotSatisfiable,
    DefaultCredentialsError,
)
# of a BadRequest: what was sent did not arrive as it was
GARBLED = ("CRC32C", "MD5")
LOG_IN = "run gcloud auth application-default login"
KEY = "GOOGLE_APPLICATION_CREDENTIALS"


class GSStore(Store):
    """What the package would repeat by itself is turned off (`retry`).

    But for a look at the bucket, in the background, by newer versions of it.
    """

    def __init__(self) -> None:
        # made by the first request: looking for credentials may be what fails
        self._made: storage.Client | None = None

    def _blob(self, key: str) -> storage.Blob:
        if self._made is None:
            self._made = storage.Client(project="none")
        bucket, _, name = key.partition("/")
        try:
            return self._made.bucket(bucket).blob(name)
        except ValueError as error:
            raise exceptions.BadRequest(f"{bucket}: {error}") from error

    def read(self, key: str, timeout: float) -> bytes:
        with _errors(key):
            return self._blob(key).download_as_bytes(timeout=timeout, retry=None)

    def write(
        self, key: str, data: bytes, timeout: float, generation: int | None = None
    ) -> None:
        with _errors(key):
            self._blob(key).upload_from_string(
                data,
                "application/octet-stream",
                timeout=timeout,
                retry=None,
                if_generation_match=generation,
            )

    def create(self, key: str, data: bytes, timeout: float) -> None:
        try:
            # 0 is that of what is not there
            self.write(key, data, timeout, generation=0)
        except exceptions.PreconditionFailed as error:
            raise FileExistsError(17, "The object is there", key) from error

    def upload(self, key: str, file: Path, timeout: float) -> None:
        with _errors(key):
            self._blob(key).upload_from_filename(
                str(file), "application/octet-stream", timeout=timeout, retry=None
            )

    def download(self, key: str, file: Path, timeout: float) -> None:
        with _errors(key):
            self._blob(key).download_to_filename(str(file), timeout=timeout, retry=None)

    def copy(self, key: str, to: str, timeout: float) -> None:
        source, target, token = self._blob(key), self._blob(to), None
        with _errors(key):
            # a large object takes several requests
            while True:
                token, _, _ = target.rewrite(source, token, timeout=timeout, retry=None)
                if token is None:
                    return

    def delete(self, key: str, timeout: float) -> None:
        try:
            with _errors(key):
                self._blob(key).delete(timeout=timeout, retry=None)
        except FileNotFoundError:
            pass

    def look(self, key: str, timeout: float) -> Entry | None:
        blob = self._blob(key)
        if not blob.name:
            return None
        try:
            with _errors(key):
                blob.reload(timeout=timeout, retry=None)
        except FileNotFoundError:
            return None
        return _entry(blob)

    def below(self, key: str, timeout: float) -> list[Entry]:
        return self._listing(key, "", timeout)[0]

    def children(self, key: str, timeout: float) -> tuple[list[Entry], list[str]]:
        return self._listing(key, "/", timeout)

    def _listing(
        self, key: str, delimiter: str, timeout: float
    ) -> tuple[list[Entry], list[str]]:
        blob = self._blob(f"{key}/")
        with _errors(key):
            found = blob.client.list_blobs(
                blob.bucket,
                prefix=blob.name or None,
                delimiter=delimiter or None,
                timeout=timeout,
                retry=None,
            )
            # an object by the name of a folder is what a console makes of one
            entries = [_entry(one) for one in found if not one.name.endswith("/")]
        # `a//b` is in no folder that has a name
        names = [name for name in found.prefixes if not name.endswith("//")]
        folders = [name.removesuffix("/") for name in names]
        return entries, [f"gs://{blob.bucket.name}/{folder}" for folder in folders]

    def is_final(self, error: Exception) -> bool:
        if isinstance(error, RefreshError):
            # a machine that gives credentials may fail for a moment
            passes = error.retryable or isinstance(error.__cause__, TransportError)
            return not passes
        garbled = any(word in str(error) for word in GARBLED)
        return isinstance(error, FINAL) and not garbled

    def says(self, error: Exception) -> str:
        if isinstance(error, (DefaultCredentialsError, RefreshError)):
            remedy = f"look at {KEY}" if KEY in os.environ else LOG_IN
            return f"no credentials ({first_line(error)}); {remedy}"
        if isinstance(error, exceptions.GoogleAPICallError):
            return _message(error)
        return ""


@contextmanager
def _errors(key: str) -> Iterator[None]:
    """Those of an object as on a disk."""
    try:
        yield
    except exceptions.NotFound as error:
        raise FileNotFoundError(2, _message(error), key) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise PermissionError(13, _message(error), key) from error


def _message(error: exceptions.GoogleAPICallError) -> str:
    """The status of an answer, and what it says, in a line."""
    try:
        said = error.response.json()["error"]["message"]
    except (AttributeError, KeyError, TypeError, ValueError):
        said = error.message
    return f"{error.code}: {first_line(said)}"


def _entry(blob: storage.Blob) -> Entry:
    when = blob.updated
    url = f"gs://{blob.bucket.name}/{blob.name}"
    return Entry(url, int(blob.size or 0), when.timestamp() if when else 0.0)

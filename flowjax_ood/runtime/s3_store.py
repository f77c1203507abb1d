"""Amazon's S3, and what speaks as it does (`AWS_ENDPOINT_URL`), by s3fs."""

import errno
from pathlib import Path
from typing import Any

from s3fs import S3FileSystem

from flowjax_ood.runtime.bucket_store import Entry, Store

CONNECT = 10
# they stay as they are, however often one asks
FINAL = (errno.EINVAL, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE)
# of botocore, which need not be installed to name them: who one is, is not known
UNKNOWN = (
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"),
    *("SSOTokenLoadError", "UnauthorizedSSOTokenError", "ParamValidationError"),
)
# what was sent did not arrive as it was: errno is EINVAL, too
GARBLED = ("BadDigest", "IncompleteBody", "RequestTimeout")


class S3Store(Store):
    """What s3fs and botocore would repeat by themselves is turned off."""

    def __init__(self) -> None:
        # without an answer a request ends by its own `timeout`: botocore's does not
        # hold while a bucket is to say that it takes what one has to send
        settings = {"connect_timeout": CONNECT, "retries": {"max_attempts": 0}}
        # a listing that is kept would hide what other processes write
        self._files = S3FileSystem(
            use_listings_cache=False, skip_instance_cache=True, config_kwargs=settings
        )
        self._files.retries = 1

    def read(self, key: str, timeout: float) -> bytes:
        return self._files.cat_file(key, timeout=timeout)

    def write(self, key: str, data: bytes, timeout: float) -> None:
        self._files.pipe_file(key, data, timeout=timeout)

    def create(self, key: str, data: bytes, timeout: float) -> None:
        try:
            self._files.pipe_file(key, data, mode="create", timeout=timeout)
        except OSError as error:
            if _status(error) == 412:
                raise FileExistsError(17, "The object is there", key) from error
            raise

    def upload(self, key: str, file: Path, timeout: float) -> None:
        self._files.put_file(str(file), key, timeout=timeout)

    def download(self, key: str, file: Path, timeout: float) -> None:
        self._files.get_file(key, str(file), timeout=timeout)

    def copy(self, key: str, to: str, timeout: float) -> None:
        self._files.cp_file(key, to, timeout=timeout)

    def delete(self, key: str, timeout: float) -> None:
        self._files.rm_file(key, timeout=timeout)

    def look(self, key: str, timeout: float) -> Entry | None:
        try:
            info = self._files.info(key, timeout=timeout)
        except FileNotFoundError:
            return None
        return _entry(info) if info["type"] == "file" else None

    def below(self, key: str, timeout: float) -> list[Entry]:
        found = self._files.find(f"{key}/", detail=True, timeout=timeout)
        # of a folder that is none, s3fs gives the object of that name; an object by the
        # name of a folder is what a console makes of one
        return [
            _entry(info)
            for name, info in found.items()
            if name.startswith(f"{key}/") and not name.endswith("/")
        ]

    def children(self, key: str, timeout: float) -> tuple[list[Entry], list[str]]:
        inside = self._files.ls(f"{key}/", detail=True, timeout=timeout)
        inside = [info for info in inside if info["name"].strip("/") != key]
        folders = [i["name"].strip("/") for i in inside if i["type"] == "directory"]
        objects = [_entry(info) for info in inside if info["type"] == "file"]
        return objects, [f"s3://{folder}" for folder in folders]

    def is_final(self, error: Exception) -> bool:
        if type(error).__name__ in UNKNOWN or _status(error) == 401:
            return True
        code = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
        return getattr(error, "errno", None) in FINAL and code not in GARBLED

    def says(self, error: Exception) -> str:
        if type(error).__name__ == "NoCredentialsError":
            return (
                "no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
            )
        return ""


def _status(error: Exception) -> int | None:
    """The status of the answer that an error was made of."""
    response = getattr(error.__cause__, "response", {})
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _entry(info: dict[str, Any]) -> Entry:
    when = info.get("LastModified")
    return Entry(
        f"s3://{info['name']}", int(info["size"]), when.timestamp() if when else 0.0
    )

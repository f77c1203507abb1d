"""What a kind of storage does when it is asked once: the interface of s3 and gs."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """An object of a listing: its URL, bytes, and seconds since 1970 when written."""

    url: str
    size: int
    written: float


class Store(ABC):
    """Requests to one kind of storage, each sent once.

    `timeout` are seconds until it has failed; of `gs://`, seconds without a byte. Keys
    are `bucket/name`. Raises FileNotFoundError, FileExistsError and PermissionError as
    on a disk, and what the package that sends the request raises.
    """

    @abstractmethod
    def read(self, key: str, timeout: float) -> bytes:
        """All of an object."""

    @abstractmethod
    def write(self, key: str, data: bytes, timeout: float) -> None:
        """Write an object, whole; one that is there is replaced."""

    @abstractmethod
    def create(self, key: str, data: bytes, timeout: float) -> None:
        """Write an object that is not there, as one of several who try."""

    @abstractmethod
    def upload(self, key: str, file: Path, timeout: float) -> None:
        """Copy a file into an object."""

    @abstractmethod
    def download(self, key: str, file: Path, timeout: float) -> None:
        """Copy an object into a file."""

    @abstractmethod
    def copy(self, key: str, to: str, timeout: float) -> None:
        """Copy an object within the storage."""

    @abstractmethod
    def delete(self, key: str, timeout: float) -> None:
        """Remove an object; nothing happens where there is none."""

    @abstractmethod
    def look(self, key: str, timeout: float) -> Entry | None:
        """An object without its content; None where there is none."""

    @abstractmethod
    def below(self, key: str, timeout: float) -> list[Entry]:
        """All objects below `key/`; FileNotFoundError where the bucket is not there."""

    @abstractmethod
    def children(self, key: str, timeout: float) -> tuple[list[Entry], list[str]]:
        """`(objects, URLs of folders)` just below `key/`."""

    @abstractmethod
    def is_final(self, error: Exception) -> bool:
        """Whether asking again cannot help."""

    @abstractmethod
    def says(self, error: Exception) -> str:
        """What an error says that its own text does not; empty where that will do."""

"""Errors that are the user's to mend, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# what the library raises for values and data that it cannot use
UNUSABLE = (ValueError, TypeError, OSError, ImportError)


class UserError(Exception):
    """Something asked for cannot be done; the message says what and how to mend it."""


@contextmanager
def user_errors(
    where: str = "", *exceptions: type[Exception], remedy: str = ""
) -> Iterator[None]:
    """Turn exceptions raised inside into `UserError("where: message; remedy")`.

    Args:
        where: the part of the config, or the option, that the message is about.
        exceptions: those to turn, by default `UNUSABLE`.
        remedy: what the user can do, where the message does not say it.
    """
    turned = exceptions or UNUSABLE
    try:
        yield
    except turned as error:
        message = f"{where}: {error}" if where else str(error)
        raise UserError(f"{message}; {remedy}" if remedy else message) from error


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """Turn OSError into `UserError("cannot write in --option path: message")`."""
    with user_errors(f"cannot write in {option} {path}", OSError):
        yield

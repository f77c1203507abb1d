"""Errors that are the user's to mend, said in one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from flowjax_ood.runtime.paths import AnyPath

# what the library raises for values and data that it cannot use
UNUSABLE = (ValueError, TypeError, OSError, ImportError)
_SPACE, _RIGHTS = "free space there", "change its owner or mode, or name another"
# what the user can do about errors of the operating system
REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "it can only be read: name another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


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
def writing(option: str, path: AnyPath) -> Iterator[None]:
    """Turn OSError into `UserError("cannot write in --option path: message")`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write in {option} {path}: {os_error(error)}"
        ) from error


def os_error(error: OSError) -> str:
    """An error of the operating system in words: `FILE: what is wrong; the remedy`."""
    said = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        said = f"{error.filename}: {said}"
    remedy = REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy}" if remedy else said

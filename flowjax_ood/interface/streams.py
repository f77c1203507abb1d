"""Standard streams that work outlives: what they do not take is dropped.

A log on a full disk, a pipe whose reader is done, a terminal that is closed and an
encoding without `±` end no training, and lose no evaluation. Whether standard output
was whole is in the exit status.
"""

import errno
import io
import os
import sys

from flowjax_ood.runtime.messages import say

# what the shell says of a process that SIGPIPE ended
BROKEN_PIPE = 128 + 13


class _Outlived(io.FileIO):
    """Swallows errors of writing; `lost` is the last of them."""

    lost: OSError | None = None

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error
            return len(data)


def outlive() -> None:
    """Replace `sys.stdout` and `sys.stderr`, before anything is printed.

    Those that are closed are opened on /dev/null: the next file to be opened, a
    checkpoint, say, would get their number and what C code prints there.
    """
    _open_standard_numbers()
    sys.stdout = _outlived(sys.stdout, 1, "replace")
    sys.stderr = _outlived(sys.stderr, 2, "backslashreplace")


def lost(stream) -> OSError | None:
    """The error for which a part of what was printed there is lost, if any was."""
    buffer = getattr(stream, "buffer", None)
    return getattr(getattr(buffer, "raw", buffer), "lost", None)


def finished(status: int) -> int:
    """The exit status of a command that ended with `status`, its output considered."""
    sys.stdout.flush()
    error = lost(sys.stdout)
    if status or error is None:
        return status
    if error.errno == errno.EPIPE:
        return BROKEN_PIPE
    say(f"error: standard output is not whole: {error.strerror}; the work is done")
    return 2


def _open_standard_numbers() -> None:
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _outlived(stream, number: int, errors: str) -> io.TextIOWrapper:
    """A stream like `stream`, None where it was closed, on the file of that number."""
    raw = _Outlived(number, "w", closefd=False)
    # as Python does by `-u`: nothing waits
    unbuffered = stream is not None and stream.write_through
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors=errors,
        line_buffering=stream is None or stream.line_buffering,
        write_through=unbuffered,
    )

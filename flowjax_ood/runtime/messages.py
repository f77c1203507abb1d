"""Lines on standard error, and errors of other libraries in one line."""

import sys
import unicodedata
from contextlib import suppress

# categories of characters that a terminal obeys rather than shows
CONTROLS = ("Cc", "Cf", "Zl", "Zp")


def printable(text: str) -> str:
    """Return the text with control characters spelt as Python does; lines stay.

    Names in files and of files may hold any; a terminal would obey them.
    """
    return "".join(
        c.encode("unicode_escape").decode()
        if c != "\n" and unicodedata.category(c) in CONTROLS
        else c
        for c in text
    )


def say(line: str) -> None:
    """Print a line on standard error, at once.

    What is closed, or on a full disk, hears nothing: no work ends for want of a reader.
    """
    # None where the process was started without
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(printable(line), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print the line `warning: ...` on standard error, at once."""
    say(f"warning: {text}")


def first_line(error: Exception) -> str:
    """Return the first line of an error, at most 300 characters, or else its name."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]

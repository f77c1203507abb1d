"""Warnings on standard error, and errors of other libraries in one line."""

import sys


def warn(text: str) -> None:
    """Print the line `warning: ...` on standard error, at once."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def first_line(error: Exception) -> str:
    """Return the first line of an error, at most 300 characters, or else its name."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]

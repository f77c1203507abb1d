"""Words on standard error, and errors of others in a line of ours."""

import sys


def warn(text: str) -> None:
    """One line, on its way at once: `warning: ...`."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def first_line(error: Exception) -> str:
    """What an error says first, at most 300 characters; its name if it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]

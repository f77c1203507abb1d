"""Types of command-line options."""

from experiments.core.errors import UserError


def names(flag: str, text: str) -> list[str]:
    """`a,b` as a list; UserError where a value is empty."""
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise UserError(f"--{flag} takes values separated by commas, got {text!r}")
    return values


def known_names(flag: str, text: str, known) -> list[str]:
    """`names`, all of them among `known`."""
    for value in (values := names(flag, text)):
        if value not in known:
            raise UserError(f"unknown {flag} {value!r}; known: {', '.join(known)}")
    return values

"""Errors that are the user's to mend, said in one line."""


class UserError(Exception):
    """Something asked for cannot be done; the message says what and how to mend it."""

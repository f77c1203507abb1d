"""The command `detect`."""

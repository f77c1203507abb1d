"""The command `precision`."""

"""The command `ablate`."""

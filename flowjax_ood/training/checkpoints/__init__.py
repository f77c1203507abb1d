"""Checkpoints: saved and restored through orbax, checked for damage."""

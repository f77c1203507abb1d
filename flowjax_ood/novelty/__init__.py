"""Novelty detection: fitted to normal vectors or images, decisions with a guarantee."""

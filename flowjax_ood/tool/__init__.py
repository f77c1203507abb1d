"""Detect images that are new, by commands: fit, score, watch, info, export."""

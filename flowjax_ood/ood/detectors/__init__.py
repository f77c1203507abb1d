"""Detectors, one family per file."""

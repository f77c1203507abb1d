"""Glow, as the paper trains it."""

from experiments.configs import glow_common


def get_config(variant: str = ""):
    return glow_common.gray("fashion_mnist", "mnist", variant)

"""Glow, as the paper trains it."""

from experiments.configs import glow_common


def get_config(variant: str = ""):
    return glow_common.color("celeba", ("cifar10:test", "svhn_cropped:test"), variant)

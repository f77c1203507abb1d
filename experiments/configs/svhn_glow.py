"""Glow, as the paper trains it."""

from experiments.configs import glow_common


def get_config(variant: str = ""):
    return glow_common.color("svhn_cropped", ("cifar10:test", "celeba:test"), variant)

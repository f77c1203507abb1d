"""Glow on SVHN 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/svhn_glow.py \
        --workdir=runs/svhn_glow

Needs the sets prepared for TFDS. 208,932,480 parameters, 162 epochs: 1.66
EFLOP, about 23 hours at a sustained 20 TFLOP/s.

This recipe is known to blow up (docs/configs.md); `:stable` trains by Adam instead.
`:cpu`: a small flow on 10,000 images, minutes. `:smoke`, `:stable_smoke`: a minute.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.color("svhn_cropped", ("cifar10:test", "celeba:test"), variant)

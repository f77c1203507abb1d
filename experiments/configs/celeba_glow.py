"""Glow on CelebA 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/celeba_glow.py \
        --workdir=runs/celeba_glow

Needs the sets prepared for TFDS; CelebA is resized to 32 and cropped as it is read.
208,932,480 parameters, 162 epochs: 3.69 EFLOP, about 51.2 hours at a sustained 20
TFLOP/s.

This recipe is known to blow up (docs/configs.md); `:stable` trains by Adam instead.
`:cpu`: a small flow on 10,000 images, minutes. `:smoke`, `:stable_smoke`: a minute.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.color("celeba", ("cifar10:test", "svhn_cropped:test"), variant)

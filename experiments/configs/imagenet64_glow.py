"""Glow on ImageNet 64x64, against CelebA and SVHN.

    python -m experiments train --config=experiments/configs/imagenet64_glow.py \
        --workdir=runs/imagenet64_glow

Beside the paper's figure 1, which has a RealNVP; imagenet64_realnvp.py says what of it
is not published, what is needed, and how much memory. The recipe is that for colour
images of 32x32, with as many images as the CelebA recipe shows. 208,932,480 parameters,
21 epochs: about 15 EFLOP, 209 hours at a sustained 20 TFLOP/s.

This recipe is known to blow up (docs/configs.md); `:stable` trains by Adam instead.
`:cpu`: a small flow on 10,000 images, minutes. `:smoke`, `:stable_smoke`: a minute.
"""

from experiments.configs.shared import glow, images


def get_config(variant: str = ""):
    config = glow.color(
        "imagenet64", ("celeba:test", "svhn_cropped:test"), variant, test="validation"
    )
    return images.imagenet64(config, variant, epochs=21)

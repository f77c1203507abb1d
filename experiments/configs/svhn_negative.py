"""Negative training: SVHN to be likely, CIFAR-10 to be unlikely (appendix B).

    python -m experiments train --config=experiments/configs/svhn_negative.py \
        --workdir=runs/svhn_negative

The paper's RealNVP and recipe for SVHN, 32 house numbers and 32 photographs a step;
these are pushed down until their log-likelihood is below -100,000 nats. An epoch ends
with the smaller set, CIFAR-10's 50,000. It never sees CelebA. (Which sets the
paper pairs with SVHN is not available to us.) Needs the sets prepared for TFDS.
87,859,080 parameters, 102 epochs: 0.63 EFLOP, about 9 hours at a sustained 20 TFLOP/s.

`:cpu`: a small flow on 10,000 images, minutes. `:smoke`: synthetic images, a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    return images.color_negative(
        "svhn_cropped", "cifar10", ("cifar10:test", "celeba:test"), variant
    )

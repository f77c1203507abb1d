"""Negative training: CelebA to be likely, SVHN to be unlikely (appendix B).

    python -m experiments train --config=experiments/configs/celeba_negative.py \
        --workdir=runs/celeba_negative

The paper's RealNVP and recipe for CelebA, 32 faces and 32 house numbers a step; these
are pushed down until their log-likelihood is below -100,000 nats. An epoch ends with
the smaller set, SVHN's 73,257. It never sees CIFAR-10. (Which sets the paper
pairs with CelebA is not available to us: these are those that a flow without it
prefers.) Needs the sets prepared for TFDS; CelebA is resized to 32 and cropped as it is
read. 87,859,080 parameters, 102 epochs: 0.93 EFLOP, about 13 hours at a sustained 20
TFLOP/s.

`:cpu`: a small flow on 10,000 images, minutes. `:smoke`: synthetic images, a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    return images.color_negative(
        "celeba", "svhn_cropped", ("svhn_cropped:test", "cifar10:test"), variant
    )

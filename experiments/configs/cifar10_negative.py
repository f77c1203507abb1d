"""Negative training: CIFAR-10 to be likely, CelebA to be unlikely (appendix B).

    python -m experiments train --config=experiments/configs/cifar10_negative.py \
        --workdir=runs/cifar10_negative

The original's own example: the paper's RealNVP for CIFAR-10 at half its learning rate,
32 images and 32 faces a step; a face is pushed down until its log-likelihood is below
-100,000 nats. It never sees SVHN. Needs the sets prepared for TFDS. 87,859,080
parameters, 102 epochs: 0.63 EFLOP, about 9 hours at a sustained 20 TFLOP/s.

`:cpu`: a small flow on 10,000 images, minutes. `:smoke`: synthetic images, a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    return images.color_negative(
        "cifar10", "celeba", ("celeba:test", "svhn_cropped:test"), variant, rate=5e-5
    )

"""Glow on CelebA 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/celeba_glow.py \
        --workdir=runs/celeba_glow

Needs the sets prepared for TFDS; CelebA is resized to 32 and cropped as it is read.
208,932,480 parameters, 162 epochs: 3.69 EFLOP, about 51.2 hours at a sustained 20
TFLOP/s.

This recipe is known to blow up; fashion_mnist_glow.py says how. `:stable` trains the
same flow by Adam with warm-up, cosine decay and averaged parameters.

`:cpu` is a small flow on 10,000 of the same images, some minutes on two cores;
`:smoke` and `:stable_smoke` run through in a minute, on synthetic images of the same
shape.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.color("celeba", ("cifar10:test", "svhn_cropped:test"), variant)

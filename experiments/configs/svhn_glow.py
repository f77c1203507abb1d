"""Glow on SVHN 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/svhn_glow.py \
        --workdir=runs/svhn_glow

Needs the sets prepared for TFDS. 208,932,480 parameters, 162 epochs: 1.66
EFLOP, about 23 hours at a sustained 20 TFLOP/s.

This recipe is known to blow up; fashion_mnist_glow.py says how. `:stable` trains the
same flow by Adam with warm-up, cosine decay and averaged parameters.

`:cpu` is a small flow on 10,000 of the same images, some minutes on two cores;
`:smoke` and `:stable_smoke` run through in a minute, on synthetic images of the same
shape.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.color("svhn_cropped", ("cifar10:test", "celeba:test"), variant)

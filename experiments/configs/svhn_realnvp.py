"""RealNVP on SVHN 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/svhn_realnvp.py \
        --workdir=runs/svhn_realnvp

Needs the sets prepared for TFDS. 87,859,080 parameters, 102 epochs: 0.46 EFLOP, about
6.4 hours at a sustained 20 TFLOP/s.

`:cpu`: a small flow on 10,000 images, minutes. `:smoke`: synthetic images, a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    return images.color_real_nvp(
        "svhn_cropped", ("cifar10:test", "celeba:test"), variant
    )

"""RealNVP on CelebA 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/celeba_realnvp.py \
        --workdir=runs/celeba_realnvp

Needs the sets prepared for TFDS; CelebA is resized to 32 and cropped as it is read.
87,859,080 parameters, 102 epochs: 1.03 EFLOP, about 14.3 hours at a sustained 20
TFLOP/s.

`:cpu`: a small flow on 10,000 images, minutes. `:smoke`: synthetic images, a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    return images.color_real_nvp(
        "celeba", ("cifar10:test", "svhn_cropped:test"), variant
    )

"""RealNVP on SVHN 32x32 with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/svhn_realnvp.py \
        --workdir=runs/svhn_realnvp

Needs the sets prepared for TFDS. 87,859,080 parameters, 102 epochs: 0.46 EFLOP, about
6.4 hours at a sustained 20 TFLOP/s.

`:cpu` is a small flow on 10,000 of the same images, some minutes on two cores;
`:smoke` runs through in a minute, on synthetic images of the same shape.
"""

from experiments.configs import common


def get_config(variant: str = ""):
    ood = ("cifar10:test", "celeba:test")
    config = common.real_nvp("svhn_cropped:train", "svhn_cropped:test", ood)
    config.model.update(scales=3, blocks=8)
    config.optimizer.learning_rate = 1e-4
    config.train.num_epochs = 102
    if variant == "smoke":
        config.data.source = "synthetic"
    if variant == "cpu":
        config.data.update(limit_train=10_000, limit_test=2_000)
    config = common.variant(config, variant)
    if variant == "cpu":
        # twice the arithmetic an image of the grey flows
        config.train.num_steps = 500
    return config

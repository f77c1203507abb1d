"""Detectors on the features of a LeNet: FashionMNIST against MNIST.

    python -m experiments detect --config=experiments/configs/fashion_mnist_detect.py \
        --workdir=runs/detect --config.data.source=idx --config.data.path=DIR \
        --config.data.ood=mnist:train10k

FSSD's small benchmark (Huang et al. 2021, table 2): LeNet, Adadelta, 14 epochs of all
60,000 images, three networks. `:smoke` runs through in three minutes, on the embedded
sample.
"""

from experiments.configs.shared import classifiers


def get_config(variant: str = ""):
    config = classifiers.classifier_config(
        "fashion_mnist:train",
        "fashion_mnist:test",
        ("mnist:test",),
        # mean and standard deviation of the training pixels, in [0, 1]
        {"name": "lenet", "mean": (0.2860,), "std": (0.3530,)},
    )
    config.detect.corrupted = ("all",)
    if variant == "smoke":
        config.data.source = "embedded"
        return classifiers.smoke(config)
    if variant:
        raise ValueError(f"unknown variant {variant!r}; known: smoke")
    return config

"""RealNVP on MNIST with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/mnist_realnvp.py \
        --workdir=runs/mnist_realnvp

Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 14,707,336 parameters, 82 epochs:
0.11 EFLOP, about 1.5 hours at a sustained 20 TFLOP/s.

notMNIST as another OOD set: as in fashion_mnist_realnvp.py.

`:cpu` is a small flow on the embedded sample, some minutes on two cores. With
`--config.train.num_steps=200`, two minutes: bits/dim of digits 4.48, of clothing 6.08,
AUROC 0.976 [0.971, 0.980] (results/digits_cpu.json). `:smoke` runs
through in a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.real_nvp("mnist:train", "mnist:test", ("fashion_mnist:test",))
    if variant in ("smoke", "cpu"):
        config.data.source = "embedded"
    return images.variant(config, variant)

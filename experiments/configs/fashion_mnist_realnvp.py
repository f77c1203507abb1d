"""RealNVP on FashionMNIST with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/fashion_mnist_realnvp.py \
        --workdir=runs/fashion_mnist_realnvp

Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 14,707,336 parameters, 82 epochs:
0.11 EFLOP, about 1.5 hours at a sustained 20 TFLOP/s.

notMNIST is a folder of images, DIR with A/ to J/ in it: to `train`, or to `evaluate` of
a run, add `--config.data.ood=mnist:test,notmnist:test
--config.data.ood_source=-,folder --config.data.ood_path=-,DIR`.

`:cpu` is a small flow on the embedded sample, some minutes on two cores. With
`--config.train.num_steps=200`, three minutes on one core: bits/dim of clothing 5.85, of
digits 4.89, AUROC 0.069 [0.062, 0.077] (results/clothing_cpu.json). `:smoke` runs
through in a minute.
"""

from experiments.configs.shared import images


def get_config(variant: str = ""):
    config = images.real_nvp(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    if variant in ("smoke", "cpu"):
        config.data.source = "embedded"
    return images.variant(config, variant)

"""A Glow on FashionMNIST whose couplings are mixtures of logistics.

    python -m experiments train \
        --config=experiments/configs/fashion_mnist_mixture.py:cpu \
        --workdir=runs/fashion_mnist_mixture

The couplings of Flow++ (Ho et al. 2019), 32 components, in the flow of
fashion_mnist_nsf.py: 15,014,560 parameters. Without a variant it needs both sets
prepared for TFDS, or IDX files: `--config.data.source=idx --config.data.path=DIR`; it
has not been run at that length. `:cpu` has 8 components, and 4 steps of 32 channels,
for 1,000 steps on the embedded sample; `:smoke`, a minute. With
`--config.data.dequantization=variational`, the dequantisation noise is learned, too.
"""

from experiments.configs import fashion_mnist_nsf
from experiments.configs.shared import modern

MODEL = {k: v for k, v in fashion_mnist_nsf.MODEL.items() if k not in ("bins", "bound")}
MODEL |= {"coupling": "mixture", "components": 32}


def get_config(variant: str = ""):
    cpu = {"steps": 4, "st_net": "highway", "width": 32, "components": 8}
    smoke = {"steps": 2, "width": 4, "components": 2}
    return modern.gray(variant, MODEL, cpu=cpu, smoke=smoke, learning_rate=3e-4)

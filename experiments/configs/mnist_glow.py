"""Glow on MNIST with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/mnist_glow.py \
        --workdir=runs/mnist_glow

Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 69,378,048 parameters, 152 epochs:
0.46 EFLOP, about 6.5 hours at a sustained 20 TFLOP/s.

This recipe is known to blow up (docs/configs.md); `:stable` trains by Adam instead.
`:cpu`: a small flow on the embedded sample, minutes. `:smoke`, `:stable_smoke`: a
minute.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.gray("mnist", "fashion_mnist", variant)

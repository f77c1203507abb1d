"""Glow on MNIST with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/mnist_glow.py \
        --workdir=runs/mnist_glow

Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 69,378,048 parameters, 152 epochs:
0.46 EFLOP, about 6.5 hours at a sustained 20 TFLOP/s.

This recipe is known to blow up; fashion_mnist_glow.py says how. `:stable` trains the
same flow by Adam with warm-up, cosine decay and averaged parameters.

notMNIST as another OOD set: as in fashion_mnist_realnvp.py.

`:cpu` is a small flow on the embedded sample, some minutes on two cores; `:smoke` and
`:stable_smoke` run through in a minute.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.gray("mnist", "fashion_mnist", variant)

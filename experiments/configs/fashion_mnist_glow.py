"""Glow on FashionMNIST with the paper's hyper-parameters.

    python -m experiments train --config=experiments/configs/fashion_mnist_glow.py \
        --workdir=runs/fashion_mnist_glow

Needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`. 69,378,048 parameters, 152 epochs:
0.46 EFLOP, about 6.5 hours at a sustained 20 TFLOP/s. The authors' own network
has 3.14 bits/dim on clothing and 2.08 on digits after 80 epochs (by their count, which
is 0.006 higher than ours).

This recipe is known to blow up; docs/configs.md says how. `:stable` trains the same
flow by Adam with warm-up, cosine decay, averaged parameters and no L2. Neither has been
run at full size yet. `:cpu` is a small flow on the embedded sample: 4.61 bits/dim of
clothing, 3.13 of digits, AUROC 0.056 (results/glow_cpu.json). `:smoke`,
`:stable_smoke`: a minute.
"""

from experiments.configs.shared import glow


def get_config(variant: str = ""):
    return glow.gray("fashion_mnist", "mnist", variant)

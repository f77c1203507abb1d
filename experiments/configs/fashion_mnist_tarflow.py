"""TarFlow on FashionMNIST: causal transformers over the patches of an image.

    python -m experiments train \
        --config=experiments/configs/fashion_mnist_tarflow.py:cpu \
        --workdir=runs/fashion_mnist_tarflow

Zhai et al. 2024, whose flow of ImageNet 64 has patches of 2, width 768 and 8 blocks of
8 layers, and is trained on dequantised images, in float32, for 100 epochs in batches of
256. Here it is of 28 x 28 pixels and 4 layers of width 256 a block: 25,700,416
parameters. Without a variant it needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`, and an accelerator; it has not been
run at that length. `:cpu` is a small one on the embedded sample, some minutes on two
cores; `:smoke`, a minute.
"""

from experiments.configs.shared import modern

MODEL = {
    "name": "tarflow",
    # side in pixels: 14 x 14 tokens of 4 numbers
    "patch": 2,
    # each goes through the tokens in the reverse order of the one before
    "blocks": 8,
    # of each block's transformer: numbers a token, layers, and heads
    "width": 256,
    "layers": 4,
    "heads": 4,
    "expansion": 4,
    # bound on log-scales and shifts; 0 is none, as published
    "soft_clip": 4.0,
    # the first token stays as it is ("identity"), or is moved, too ("learned")
    "first": "identity",
    # of the inverse: "cache" or "jacobi"
    "solver": "cache",
    # the logit of pixels instead of [-1, 1)
    "logit": False,
    "stack": "scan",
    "remat": "full",
}
SMALL = {"patch": 4, "blocks": 6, "width": 64, "layers": 2, "heads": 2}


def get_config(variant: str = ""):
    cpu = SMALL | {"remat": "none"}
    config = modern.gray(
        variant,
        MODEL,
        cpu=cpu,
        smoke=cpu | {"patch": 7, "blocks": 2, "width": 8, "layers": 1},
        learning_rate=1e-4,
        b2=0.95,
        weight_decay=1e-4,
        ema_decay=0.9999,
    )
    if not variant:
        config.train.update(batch_size=256, num_epochs=100)
    return config

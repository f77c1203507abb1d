"""Jet on FashionMNIST: couplings of patches, by vision transformers.

    python -m experiments train --config=experiments/configs/fashion_mnist_jet.py:cpu \
        --workdir=runs/fashion_mnist_jet

Kolesnikov et al. 2024, whose flow of ImageNet 64 has 32 couplings, width 512, depth 2
and 8 heads, trained for 200 epochs in batches of 1,024. Here it is of 28 x 28 pixels:
203,072,096 parameters. Without a variant it needs both sets prepared for TFDS, or IDX
files: `--config.data.source=idx --config.data.path=DIR`, and an accelerator; it has not
been run at that length. `:cpu` is a small one on the embedded sample, some minutes on
two cores; `:smoke`, a minute.
"""

from experiments.configs.shared import modern

MODEL = {
    "name": "jet",
    # side in pixels: 7 x 7 tokens of 16 numbers
    "patch": 4,
    "couplings": 32,
    # of each coupling's transformer: numbers a token, blocks, and heads
    "width": 512,
    "depth": 2,
    "heads": 8,
    "expansion": 4,
    # in turn: random channels of every token, or whole tokens
    "kinds": ("channel", "channel", "channel", "channel", "spatial"),
    # and which tokens, each plane followed by its reverse
    "spatial": ("checkerboard", "vstripes", "hstripes"),
    # of the random channels
    "seed": 0,
    # what a coupling may multiply a value with, at most
    "scale": 2.0,
    "stack": "scan",
    "remat": "full",
    "reversible": False,
}
SMALL = {"couplings": 10, "width": 64, "depth": 1, "heads": 2, "remat": "none"}


def get_config(variant: str = ""):
    smoke = SMALL | {"patch": 7, "width": 8}
    config = modern.gray(
        variant,
        MODEL,
        cpu=SMALL,
        smoke=smoke,
        learning_rate=3e-4,
        b2=0.95,
        # published: a tenth of training
        warmup_steps=1172,
        ema_decay=0.0,
    )
    if not variant:
        config.train.update(batch_size=1024, num_epochs=200)
    return config

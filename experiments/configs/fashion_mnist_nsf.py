"""A neural spline flow on FashionMNIST: a Glow whose couplings are splines.

    python -m experiments train --config=experiments/configs/fashion_mnist_nsf.py:cpu \
        --workdir=runs/fashion_mnist_nsf

After Durkan et al. 2019: 10 steps a scale, st-networks of 256 channels, 4,642,060
parameters. Theirs has 3 scales, of images padded to 32 x 32, and 4 bins on [-1, 1]
without a logit. Without a variant it needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`; it has not been run at that length.
`:cpu` has 4 steps of 32 channels, for 1,000 steps on the embedded sample; `:smoke`, a
minute.
"""

from experiments.configs.shared import modern

MODEL = {
    "name": "glow",
    "scales": 2,
    # of ActNorm, 1x1 convolution and coupling, at each scale
    "steps": 10,
    "mask": "first_half",
    # "highway" with `layers`, or "glow_convnet"
    "st_net": "glow_convnet",
    "width": 256,
    "layers": 1,
    # or "affine", or "mixture"
    "coupling": "spline",
    "bins": 8,
    # behind the logit, which spreads pixels over [-3, 3]
    "bound": 5.0,
    "conv1x1": "plu",
    # as in fashion_mnist_glow.py
    "stack": "chain",
    "remat": "none",
    "reversible": False,
    "convolution": "auto",
}


def get_config(variant: str = ""):
    cpu = {"steps": 4, "st_net": "highway", "width": 32}
    smoke = {"steps": 2, "width": 4}
    return modern.gray(variant, MODEL, cpu=cpu, smoke=smoke, learning_rate=5e-4)

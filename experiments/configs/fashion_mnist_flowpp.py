"""Flow++ on FashionMNIST: mixtures of logistics, attention, and learned noise.

    python -m experiments train \
        --config=experiments/configs/fashion_mnist_flowpp.py:cpu \
        --workdir=runs/fashion_mnist_flowpp

After Ho et al. 2019: 4, 2 and 3 couplings of columns, channels and columns, st-networks
of 10 blocks of 96 channels, 32 components, dropout 0.2: 24,645,808 parameters, 202,968
of them for the noise. Their rate decays by steps, this one by a cosine. Likelihoods are
bounds, since the noise is learned; `--config.data.dequantization=uniform` goes without.
Without a variant it needs both sets prepared for TFDS, or IDX files:
`--config.data.source=idx --config.data.path=DIR`; it has not been run at that length.
`:cpu` has one block of 32 channels and 8 components, for 1,000 steps on the embedded
sample; `:smoke`, a minute.
"""

from experiments.configs.shared import modern

MODEL = {
    "name": "flow_pp",
    # couplings of columns, of channels after a squeeze, and of columns there
    "parts": (4, 2, 3),
    "width": 96,
    # of each st-network
    "blocks": 10,
    "heads": 4,
    "components": 32,
    "dropout": 0.2,
    "max_log_scale": 1.0,
    "stack": "chain",
    "remat": "none",
    "reversible": False,
}


def get_config(variant: str = ""):
    cpu = {"parts": (2, 1, 1), "width": 32, "blocks": 1, "components": 8}
    smoke = {"parts": (1, 1, 1), "width": 4, "blocks": 1, "components": 2}
    cpu["dropout"] = smoke["dropout"] = 0.0
    config = modern.gray(variant, MODEL, cpu=cpu, smoke=smoke)
    config.data.dequantization = "variational"
    return config

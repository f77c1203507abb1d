"""RealNVP on EfficientNet embeddings of FashionMNIST, MNIST's OOD (section 8).

    python -m experiments train \
        --config=experiments/configs/fashion_mnist_embeddings.py \
        --workdir=runs/fashion_mnist_embeddings --config.data.path=FILE

"""

from experiments.configs import tabular_common


def get_config(variant: str = ""):
    config = tabular_common.embeddings(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    return tabular_common.embeddings_variant(config, variant)

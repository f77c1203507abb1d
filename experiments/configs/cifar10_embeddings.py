"""RealNVP on EfficientNet embeddings of CIFAR-10; SVHN's and CelebA's OOD (section 8).

    python -m experiments train --config=experiments/configs/cifar10_embeddings.py \
        --workdir=runs/cifar10_embeddings --config.data.path=DIR

DIR holds {cifar10,svhn,celeba}_features_{train,test}.npz with the keys `embeddings` and
`labels`, the layout of the paper's code, whose 1792 features are EfficientNet-B4's; or
FILE is an archive that `python -m experiments embed` wrote, of any encoder. The paper
gives no preprocessing and no hyper-parameters of its flow, and its AUROC is not
available.

`:cpu` takes the first 10,000 training vectors; `:smoke` runs through in seconds on fake
vectors. Not run yet: no embeddings of colour images were at hand.
"""

from experiments.configs.shared import vectors


def get_config(variant: str = ""):
    return vectors.embeddings("cifar10", ("svhn:test", "celeba:test"), variant)

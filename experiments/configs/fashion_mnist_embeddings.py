"""RealNVP on EfficientNet-Lite0 embeddings of FashionMNIST, MNIST's OOD (section 8).

    python -m experiments embed --out=embeddings/fashion_mnist.npz --image-size=96 \
        fashion_mnist:train fashion_mnist:test mnist:test
    python -m experiments train \
        --config=experiments/configs/fashion_mnist_embeddings.py:cpu \
        --workdir=runs/fashion_mnist_embeddings \
        --config.data.path=embeddings/fashion_mnist.npz --config.seed=0

1280 features; any archive of embeddings will do. `:cpu` is a flow of width 128 on
10,000 training images, "" one of width 256 on all. `:whitened` and `:cpu_whitened` put
a PCA of all components before it. `:paper` are the defaults of the paper's tabular
script: it gives none for embeddings, and its AUROC is not available. `:smoke` runs
through in seconds on fake vectors.

Two CPU cores, shared: 1 to 7 minutes of training. AUROC over three seeds, `:cpu` 0.884
± 0.009, `:cpu_whitened` 0.919 ± 0.001; docs/paper.md, section 7, has the other
detectors. No PCA is the default, as its validation likelihood is the highest: the
likelier flow is the worse detector here. Log-determinants stay within their bound, but
some features fire for one image in a thousand, hundreds of standard deviations out: one
test image is at -20 million nats. So reported nats are medians: 1278, whitened -322.
"""

from experiments.configs.shared import vectors


def get_config(variant: str = ""):
    return vectors.embeddings("fashion_mnist", ("mnist:test",), variant)

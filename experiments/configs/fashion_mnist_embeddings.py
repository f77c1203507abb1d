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

Two CPU cores, shared: 1 to 7 minutes of training. Mean and standard deviation over
seeds 0, 1 and 2; nats are the median of raw test embeddings
(results/embeddings_fashion_mnist.json and embeddings_fashion_mnist_whitened.json):

    AUROC                       :cpu            :cpu_whitened
    flow                        0.884 ± 0.009   0.919 ± 0.001
    Mahalanobis                 0.910 ± 0.001   0.910 ± 0.001
    Mahalanobis, class means    0.912 ± 0.001   0.912 ± 0.001
    10th neighbour              0.831 ± 0.001   0.906 ± 0.000
    10th neighbour, unit length 0.899 ± 0.003   0.626 ± 0.007
    nats                        1278            -322

A flow on pixels prefers digits (AUROC 0.06, results/demo.json); on embeddings they are
told apart, about as well as by one Gaussian. No PCA is the default, as its validation
likelihood is the highest, which says nothing of AUROC: here, the likelier flow is the
worse detector. Log-determinants stay within their bound, but some features fire for one
image in a thousand, hundreds of standard deviations out: one test image is at -20
million nats, hence medians.
"""

from experiments.configs.shared import vectors


def get_config(variant: str = ""):
    config = vectors.embeddings(
        "fashion_mnist:train", "fashion_mnist:test", ("mnist:test",)
    )
    return vectors.embeddings_variant(config, variant)

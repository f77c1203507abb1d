"""Source `synthetic` of vectors: fake ones, for tests and smoke runs."""

import hashlib

import numpy as np

from flowjax_ood.data.suggestions import unknown
from flowjax_ood.data.vector_set import VectorSet

# Features by set. Names of real sets are there so that a config's source alone can be
# swapped; the vectors are as fake as the others.
DIMS = {
    "synthetic": 8,
    "synthetic_ood": 8,
    "hepmass0": 15,
    "hepmass1": 15,
    "miniboone0": 50,
    "miniboone1": 50,
    # EfficientNet-Lite0's
    "fashion_mnist": 1280,
    "mnist": 1280,
    # EfficientNet-B4's
    "cifar10": 1792,
    "svhn": 1792,
    "svhn_cropped": 1792,
    "celeba": 1792,
}
SPLITS = ("train", "validation", "test", "all")
DEFAULT_COUNT = 1024
CLASSES = 4
FACTORS = 4


def load_synthetic_vectors(
    name: str, split: str, *, count: int | None = None, seed: int = 0
) -> VectorSet:
    """`count` (1024) fake vectors with labels 0 to 3: clusters of correlated features.

    `x = mean[label] + A f + e / 2`, with factors f and noise e from N(0, I); means and
    A follow from (seed, name), so that the splits of a name are of one distribution,
    and other names are elsewhere.
    """
    if name not in DIMS:
        raise unknown("a synthetic set of vectors", name, DIMS)
    if split not in SPLITS:
        raise unknown(f"a split of synthetic {name!r}", split, SPLITS)
    dims, count = DIMS[name], DEFAULT_COUNT if count is None else count
    shape = _generator(seed, name)
    means = shape.standard_normal((CLASSES, dims)) + shape.standard_normal(dims)
    loadings = shape.standard_normal((FACTORS, dims)) / 2
    draw = _generator(seed, f"{name}:{split}")
    labels = draw.integers(0, CLASSES, count)
    vectors = means[labels] + draw.standard_normal((count, FACTORS)) @ loadings
    vectors += draw.standard_normal((count, dims)) / 2
    return VectorSet(
        name,
        split,
        vectors.astype(np.float32),
        labels.astype(np.int32),
        "synthetic",
        f"FAKE vectors made by flowjax_ood, seed {seed}: not the data set {name!r}",
    )


def _generator(seed: int, text: str) -> np.random.Generator:
    word = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, word])))

"""Keys of a config as flat names."""

from ml_collections import ConfigDict

# what `evaluate` may set: all but what the run was trained on
# (the training images are read again and refused if they are others)
EVALUATE_KEYS = (
    "data.test",
    "data.ood",
    "data.limit_test",
    "data.source",
    "data.path",
    "data.ood_source",
    "data.ood_path",
    "data.altered",
    "data.channels",
    "eval",
)


# models on vectors; all others are on images
MODELS = ("tabular_real_nvp",)
# what the configs of vectors have beside those of images
KEYS = (
    "data.constant",
    "data.pca",
    "data.whiten",
    "eval.baselines",
    "eval.neighbors",
    "eval.limit_baselines",
)
# what acts on images alone, at what leaves it out
OF_IMAGES = {
    "data.image_size": 0,
    "data.channels": 0,
    "eval.samples": 0,
    "eval.draws": 1,
    "train.negative": "",
    "train.negative_classes": 0,
}
# detectors without a flow that there are, for `eval.baselines`
BASELINES = ("mahalanobis", "nearest_neighbors")


def of_vectors(config: ConfigDict) -> bool:
    """Whether the experiment is on vectors."""
    return config.model.get("name") in MODELS


def flatten(config, prefix: str = "") -> dict:
    """`{"a.b": value}` of a nested config."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def among(key: str, keys: tuple[str, ...]) -> bool:
    """Whether a key is one of `keys`, or below one of them."""
    return any(key == k or key.startswith(k + ".") for k in keys)

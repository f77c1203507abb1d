"""People among the emoji of the package, against all else. Not an experiment itself."""

from ml_collections import ConfigDict

TRAIN, TEST = "people_train", "people_test"
OOD = (
    "emoji:things",
    "emoji:hands",
    "emoji:flags",
    "fashion_mnist:test",
    "mnist:test",
)


def embedded(config: ConfigDict) -> ConfigDict:
    """`config` on the shipped images, clothing and digits made 32 x 32 x 3, too."""
    config.data.update(source="embedded", image_size=32, channels=3)
    # there are fewer than the limits of other images on a CPU
    if config.data.limit_train > 1000:
        config.data.update(limit_train=0, limit_test=0)
    return config

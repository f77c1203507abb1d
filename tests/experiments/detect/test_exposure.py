"""Outliers of Outlier Exposure: made of training images, or of a set that is named."""

import numpy as np
import pytest

from experiments.core.config import load_config
from experiments.core.sets import load_sets
from experiments.detect import exposure
from flowjax_ood.interface.errors import UserError

CONFIG = "experiments/configs/fashion_mnist_detect.py:smoke"


def loaded(*overrides):
    config = load_config(CONFIG, overrides)
    return config, load_sets(config)


def test_made_of_training_images():
    config, sets = loaded()
    found = exposure.outliers(config, sets)
    images = sets.train.images
    assert found.dtype == np.uint8
    assert found.shape == images.shape
    assert not any(np.array_equal(a, b) for a, b in zip(found, images))
    np.testing.assert_array_equal(found, exposure.outliers(config, sets))
    # others than those that settings are chosen by
    again, _ = loaded("seed=1")
    assert not np.array_equal(found, exposure.outliers(again, sets))


def test_a_set_by_its_name():
    config, sets = loaded(
        "exposure.source=synthetic:train", "exposure.place=synthetic", "data.channels=1"
    )
    found = exposure.outliers(config, sets)
    assert found.shape[1:] == (28, 28, 1)


@pytest.mark.parametrize("override", ["exposure.source=", "detect.detectors=MSP,KNN"])
def test_none_where_none_are_wanted(override):
    assert exposure.outliers(*loaded(override)) is None


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (
            ("exposure.source=mnist:test",),
            "128 images of mnist, which is tested, are among the outliers mnist:test",
        ),
        (("exposure.source=letters:train",), "config.exposure: .*letters"),
        (
            ("exposure.source=cifar10:train", "exposure.place=synthetic"),
            r"cifar10:train are of shape \(32, 32, 3\).*config.data.image_size",
        ),
    ],
)
def test_outliers_that_will_not_do_are_refused(overrides, match):
    with pytest.raises(UserError, match=match):
        exposure.outliers(*loaded(*overrides))

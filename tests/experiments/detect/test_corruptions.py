"""Corrupted test images as OOD sets."""

import numpy as np
import pytest

from experiments.core.config import load_config
from experiments.core.score_cache import Scored
from experiments.core.sets import load_sets
from experiments.detect import corruptions
from flowjax_ood.data.corruptions import CORRUPTIONS, corrupt
from flowjax_ood.interface.errors import UserError

CONFIG = "experiments/configs/fashion_mnist_detect.py:smoke"


def loaded(*overrides):
    config = load_config(CONFIG, [f"detect.{o}" for o in overrides])
    return config, load_sets(config)


def scored(**scores) -> Scored:
    values = {n.replace("_", " "): np.asarray(s, float) for n, s in scores.items()}
    return Scored(values, [], {}, 0.0, 0.0)


def test_all_that_act_on_grey_images_at_every_severity():
    config, sets = loaded("corrupted=all", "corrupted_images=3", "severities=5,1,5")
    tests = {sets.test.name: sets.test.images[7:20]}
    found = corruptions.corrupted_sets(config, sets, tests)
    grey = [k for k in CORRUPTIONS if k != "saturate"]
    assert list(found) == [(k, s) for k in grey for s in (1, 5)]
    for (kind, severity), images in found.items():
        own = corrupt(sets.test.images[7:10], kind, severity, config.seed)
        np.testing.assert_array_equal(images, own)


def test_none():
    config, sets = loaded("corrupted=()")
    tests = {sets.test.name: sets.test.images}
    assert corruptions.corrupted_sets(config, sets, tests) == {}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corrupted=saturate,fog", "config.detect: 'saturate' changes colours alone"),
        ("corrupted=fogg", "config.detect: .*'fogg'.*'?fog'?"),
        ("severities=1,6", "config.detect: severity must be one of .*, not 6"),
    ],
)
def test_what_cannot_be_done_is_refused(override, message):
    config, sets = loaded(override)
    with pytest.raises(UserError, match=message):
        corruptions.corrupted_sets(config, sets, {sets.test.name: sets.test.images})


def test_auroc_by_severity_is_the_mean_over_networks():
    pairs = [("fog", 1), ("fog", 2), ("snow", 1), ("snow", 2)]
    first = scored(clean=[2, 3], fog_1=[2, 3], fog_2=[0, 1], snow_1=[4], snow_2=[2.5])
    second = scored(clean=[2, 3], fog_1=[0], fog_2=[0, 1], snow_1=[4], snow_2=[0])
    runs = {
        ("MSP", "none"): [[first], [second]],
        # not asked to score corrupted images
        ("FSSD", "repository"): [[scored(clean=[1], mnist=[0])]] * 2,
    }
    found = corruptions.auroc_by_severity(runs, pairs, "clean")
    assert found == {"MSP": {"fog": [0.75, 1.0], "snow": [0.0, 0.75]}}

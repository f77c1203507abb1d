"""Sets of DNA for classifiers: synthetic or of TFDS, and what does not go with them."""

import logging

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments.core.config import load_config
from experiments.core.keys import TABLE, Kind, kind
from experiments.core.sets import load_sets
from flowjax_ood.data.sets import TokenSet
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood.network import as_input
from tests.helpers.experiment_runs import CONFIGS

GENOMES = f"{CONFIGS / 'genomics_detect.py'}:smoke"
IMAGES = f"{CONFIGS / 'cifar10_detect.py'}:smoke"
FASHION = f"{CONFIGS / 'fashion_mnist_detect.py'}:smoke"


def load(*overrides, config=GENOMES):
    return load_sets(load_config(config, overrides))


def error(*overrides, config=GENOMES) -> str:
    with pytest.raises(UserError) as caught:
        load(*overrides, config=config)
    return str(caught.value)


def test_sets_are_those_of_the_config():
    sets = load("data.ood=genomics:test_ood,genomics:validation_ood")
    assert (sets.train.split, len(sets.train), sets.event_shape) == (
        "train",
        512,
        (50,),
    )
    assert (sets.test.name, sets.test.split, len(sets.test)) == (
        "genomics",
        "test",
        128,
    )
    assert list(sets.ood) == ["genomics:test_ood", "genomics:validation_ood"]
    every = (sets.train, sets.test, *sets.ood.values())
    assert all(isinstance(one, TokenSet) and one.source == "synthetic" for one in every)
    assert sets.train.labels.max() == 9
    assert sets.ood["genomics:test_ood"].labels.min() >= 70
    assert sets.train.describe()["name"] == "genomics"


def test_networks_are_given_tokens_not_pixels():
    sets = load()
    x = sets.inputs(sets.train)
    assert x.dtype == np.int32
    np.testing.assert_array_equal(x, sets.train.tokens)
    np.testing.assert_array_equal(as_input(x), sets.train.tokens)


def test_the_seed_and_the_limits_are_those_of_the_config():
    some, more = load("data.limit_train=60"), load("data.limit_train=0")
    assert (len(some.train), len(more.train)) == (60, 1024)
    np.testing.assert_array_equal(some.train.tokens, more.train.tokens[:60])
    assert (load("seed=3").train.tokens != load().train.tokens).any()


def test_configs_of_images_are_none_of_tokens():
    assert kind(load_config(GENOMES)) is Kind.TOKENS
    for name in (IMAGES, FASHION):
        assert kind(load_config(name)) is Kind.CLASSIFIER
        assert load(config=name).inputs(load(config=name).train).dtype == np.uint8


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets")
def test_sets_of_tfds(tmp_path):
    logging.getLogger("absl").setLevel(logging.ERROR)
    letters = np.array(list("ACGT"))
    tokens = np.random.default_rng(0).integers(0, 4, (200, 250))

    def examples(builder, split, **_):
        first = {"train": 0, "test": 0, "test_ood": 70}[split]
        shift = {"train": 0, "test": 1, "test_ood": 2}[split]
        rows = letters[(tokens + shift) % 4]
        return [
            {"seq": "".join(row).encode(), "label": first + i % 10}
            for i, row in enumerate(rows)
        ]

    places = ("data.source=tfds", f"data.path={tmp_path}", "model.length=250")
    limits = ("data.limit_train=0", "data.limit_test=30")
    with tfds.testing.mock_data(as_data_source_fn=examples, data_dir=str(tmp_path)):
        sets = load(*places, *limits)
        assert "model.length is 50; set config.model.length=250" in error(
            *places[:2], *limits
        )
    np.testing.assert_array_equal(sets.train.tokens, tokens)
    rows = np.random.RandomState(42).permutation(200)[:30]
    np.testing.assert_array_equal(sets.test.tokens, (tokens[rows] + 1) % 4)
    ood = sets.ood["genomics:test_ood"]
    np.testing.assert_array_equal(ood.labels, 70 + rows % 10)
    # not prepared, and not mocked
    assert "tfds build genomics_ood" in error(*places, *limits)


OTHER = {
    "data.altered": "inverted",
    "data.image_size": "16",
    "data.channels": "1",
    "train.augment": "crop_flip",
    "exposure.source": "pseudo",
    "detect.corrupted": "fog",
    "detect.perturb": "True",
    "detect.fssd_noise": "uniform",
    "detect.flows": "runs/flow",
}


OFF = {row.name: row.off for row in TABLE if row.off is not None}


@pytest.mark.parametrize("key", OTHER)
def test_what_only_images_have_is_refused(key):
    message = error(f"{key}={OTHER[key]}")
    assert f"config.{key} acts on images, and model 'bilstm' is on tokens" in message
    assert f"set it to {OFF[key]!r}" in message


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.train=mnist:train"], "'mnist' is not a set of tokens"),
        (["data.train=genomics:training"], "did you mean 'train'?"),
        (["data.source=idx"], "source 'idx' has no tokens; there is: tfds, synthetic"),
        (["data.ood_source=embedded"], "source 'embedded' has no tokens"),
        (["data.ood=genomics:test"], "holds the test set itself"),
        (["model.length=5"], "config.model.length must be at least 6, got 5"),
        (["model.hidden=0"], "config.model.hidden must be at least 1, got 0"),
    ],
)
def test_what_is_not_there_is_an_error_with_the_remedy(overrides, said):
    assert said in error(*overrides)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("detect.fssd_noise=grey", "unknown 'grey'; known: repository, uniform, valid"),
        ("detect.dropout_passes=1", "one pass has no spread"),
        ("model.widths=0,8", r"config.model.widths must be at least 1, got (0, 8)"),
        ("exposure.weight=-1", "config.exposure.weight must be at least 0, got -1"),
        ("exposure.learning_rate=0", "config.exposure.learning_rate must be positive"),
        ("data.train=genomics:train", "'genomics' is not a synthetic data set"),
    ],
)
def test_what_no_detect_config_can_ask_for(override, said):
    assert said in error(override, config=IMAGES)

"""Runs that hold images back go on, are streamed, and are as before without any."""

import logging

import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build
from experiments.core.checks import check
from experiments.core.config import load_config
from experiments.core.keys import flatten
from experiments.core.run_config import keep_config, read_config
from experiments.core.sets import load_sets
from flowjax_ood import data
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, only_error, read_results
from tests.helpers.prepared_tfds import prepare
from tests.helpers.validation_runs import (
    ARGUMENTS,
    ASTRAY,
    assert_same_arrays,
    assert_same_run,
    config_of,
    records,
    saved,
    train,
)


@pytest.mark.thorough
def test_a_run_that_goes_on_ends_as_if_nothing_had_happened(held_run, tmp_path):
    """From after its best; from before it: `test_half_of_it_may_be_streamed`."""
    workdir = tmp_path / "run"
    train(workdir, "--config.train.num_steps=6")
    train(workdir)
    assert_same_run(workdir, held_run)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The same images as TFDS prepares them."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    path = tmp_path_factory.mktemp("tfds")
    for name in ("fashion_mnist", "mnist"):
        splits = {
            split: data.load(f"{name}:{split}", source="embedded", limit=limit).images
            for split, limit in (("train", 64), ("test", 20))
        }
        prepare(path, splits, name=name, shards=2)
    return ("--config.data.source=tfds", f"--config.data.path={path}")


STREAMED = "--config.data.streaming=True"


@pytest.mark.thorough
def test_streamed_it_is_the_same_run(held_run, prepared, tmp_path):
    workdir = train(tmp_path / "run", *prepared, STREAMED)
    assert_same_run(workdir, held_run)
    found, expected = (read_results(w)["data"] for w in (workdir, held_run))
    assert found["train"]["streamed"]
    assert found["train"]["count"] == expected["train"]["count"]
    tail = found["validation"]["origin"].rpartition(";")[2]
    assert tail == expected["validation"]["origin"].rpartition(";")[2]


@pytest.mark.thorough
def test_half_of_it_may_be_streamed(held_run, prepared, tmp_path):
    workdir = tmp_path / "run"
    train(workdir, *prepared, "--config.train.num_steps=3")
    train(workdir, *prepared, STREAMED)
    assert_same_run(workdir, held_run)


# ---- without


@pytest.mark.thorough
def test_without_it_nothing_changes(tmp_path):
    """Whatever the keys say that only a validation set has a use for."""
    arguments = ("train", *ASTRAY, "--config.train.num_steps=4")
    plain = train(tmp_path / "plain", arguments=arguments)
    before = train(
        tmp_path / "before", "--config.train.num_steps=3", arguments=arguments
    )
    unread = ("--config.train.validate_every=1", "--config.train.patience=1")
    train(before, *unread, arguments=arguments)
    assert_same_arrays(saved(plain)[4], saved(before)[4])
    assert [r for r in records(before) if r["step"] > 3] == records(plain)[-1:]
    for workdir in (plain, before):
        assert not (workdir / "best").exists()
        assert "validation" not in read_results(workdir)
    assert (plain / "data.json").read_bytes() == (before / "data.json").read_bytes()
    whole = data.load("fashion_mnist:train", source="embedded", limit=64)
    sets = load_sets(read_config(plain))
    np.testing.assert_array_equal(sets.train.images, whole.images)
    assert sets.train.origin == whole.origin


def test_what_it_is_chosen_by_stays_as_it_was(tmp_path):
    """A score compares with those of before under the same noise alone."""
    keep_config(config_of(), tmp_path)
    keep_config(config_of("eval.draws=3", "eval.batch_size=7"), tmp_path)
    for change in ("eval.seed=9", "data.validation=11", "train.validate_by=median"):
        with pytest.raises(UserError, match=change.partition("=")[0]):
            keep_config(config_of(change), tmp_path)
    plain = tmp_path / "plain"
    keep_config(config_of("data.validation=0"), plain)
    keep_config(config_of("data.validation=0", "eval.seed=9"), plain)


# ---- refused


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.validation=64",), "64 of the 64 images of fashion_mnist:train cannot"),
        (("data.validation=-1",), "data.validation must be at least 0, got -1"),
        (("train.validate_by=best",), "unknown 'best'; known: mean, median"),
        (("train.patience=-1",), "train.patience must be at least 0"),
        (("train.validate_every=0",), "train.validate_every must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(overrides, said):
    with pytest.raises(UserError, match=said):
        load_sets(config_of(*overrides))


def test_of_images_it_is_no_share():
    with pytest.raises(UserError, match=r"takes an int such as 10, got '0\.1'"):
        config_of("data.validation=0.1")
    config = config_of()
    with config.ignore_type():
        config.data.validation = 0.1
    with pytest.raises(UserError, match="must be an int for a flow on images, got 0"):
        check(config)


def test_looks_that_never_come_are_refused_before_anything_is_written(tmp_path, capsys):
    workdir = tmp_path / "run"
    late = "--config.train.validate_every=9"
    assert run([*ARGUMENTS, late, f"--workdir={workdir}"]) == 2
    said = only_error(capsys.readouterr().err)
    assert "validate_every=9 is never reached in 8 steps" in said
    assert not workdir.exists()


@pytest.mark.parametrize("name", ["fashion_mnist_realnvp", "cifar10_glow", "demo"])
@pytest.mark.parametrize("variant", ["", "smoke", "cpu"])
def test_every_variant_looks_before_it_ends(name, variant):
    if (name, variant) == ("demo", "cpu"):
        variant = "bottleneck"
    config = load_config(f"{CONFIGS / name}.py:{variant}")
    assert flatten(config)["data.validation"] == 0
    assert config.train.validate_every <= build.num_steps(config, 10_000)

"""Runs on images of other than 8 bits: `data.bins`, from training to every command."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.cli import run
from experiments.core import build
from experiments.core.checks import check_sections
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow
from experiments.core.run_config import check_config, keep_config, read_config
from experiments.core.sets import load_sets
from experiments.detect.flows import trained_flows
from experiments.inspect import InspectOptions
from experiments.inspect.measures import latent_rows, terms
from experiments.inspect.subject import subject
from experiments.samples import command as samples
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import (
    CONFIGS,
    TINY,
    only_error,
    read_bits,
    read_results,
)

DEMO = f"{CONFIGS / 'demo.py'}:smoke"
SMALL = ("--config.data.source=synthetic", "--config.data.image_size=8")
BITS, BINS = 5, 32


def of(bins: int) -> tuple[str, ...]:
    return (*TINY, *SMALL, f"--config.data.bins={bins}")


@pytest.fixture(scope="module")
def five_bits(tmp_path_factory):
    """Workdir of a run on images of the values 0 ... 31."""
    workdir = tmp_path_factory.mktemp("runs") / "five_bits"
    more = ("--config.data.altered=inverted", "--config.train.log_every=1")
    assert run(["train", *of(BINS), *more, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def trained(five_bits):
    return TrainedFlow.restore(five_bits)


@pytest.mark.thorough
def test_bits_per_dim_are_those_of_the_depth(five_bits, trained):
    """`bits - log2 p(x) / D`: what 8-bit images would have, less three."""
    results = read_results(five_bits)
    by_hand = read_bits(five_bits, dims=64)
    for name, bits in results["bits_per_dim"].items():
        assert bits == pytest.approx(np.mean(by_hand[name]) - 8 + BITS, abs=1e-5)
    assert "fashion_mnist inverted" in results["auroc"]
    # training and evaluation measure the same: another depth is a bit or more away
    records = (five_bits / "metrics.jsonl").read_text().splitlines()
    last = json.loads(records[-1])["bits_per_dim"]
    assert last == pytest.approx(results["bits_per_dim"]["fashion_mnist"], abs=0.5)


def test_sets_are_of_the_depth_they_say(trained):
    test = trained.sets.test.images
    inverted = trained.sets.ood["fashion_mnist inverted"].images
    assert test.dtype == np.uint8
    assert BINS // 2 < test.max() < BINS
    np.testing.assert_array_equal(inverted, BINS - 1 - test)


def test_pictures_are_of_all_greys(trained):
    """A value k is the grey k / 31, of samples as of stored images."""
    levels = trained.samples(4, 0) * (BINS - 1)
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    test = trained.sets.test.images
    np.testing.assert_allclose(trained.sets.pictures(test) * (BINS - 1), test)


@pytest.mark.thorough
def test_inspect_scores_as_evaluate_does(five_bits, trained):
    options = InspectOptions(count=20, averaged=2, draws=1, images=(0,))
    looked_at = subject(trained, options)
    (found,) = terms(looked_at).values()
    bits = read_results(five_bits)["bits_per_dim"]
    for name, likelihoods in found.items():
        assert likelihoods.bits_per_dim.mean() == pytest.approx(bits[name], abs=1e-5)
    image = latent_rows(looked_at, options)[0][2]
    np.testing.assert_array_equal(
        image, trained.sets.test.images[0] / np.float32(BINS - 1)
    )


def test_samples_are_stored_as_images_are(five_bits):
    sampled = samples.load(five_bits, (), "run")
    noise = np.zeros((samples.BATCH, 8, 8, 1), np.float32)
    noise[1] = np.nan
    images, finite = samples.draw(sampled, noise, 1.0)
    assert (images.dtype, images.max() < BINS) == (np.uint8, True)
    assert (images[1] == BINS // 2).all()
    assert np.flatnonzero(~finite).tolist() == [1]


def test_the_depth_is_part_of_the_run(five_bits, trained, capsys):
    def refused(*argv) -> str:
        assert run([*argv, f"--workdir={five_bits}"]) == 2
        return only_error(capsys.readouterr().err)

    more = ("--config.data.altered=inverted", "--config.train.log_every=1")
    assert "data.bins (32 there, 64 now)" in refused("train", *of(64), *more)
    said = refused("evaluate", "--config.data.bins=64")
    assert "'data.bins' is part of the trained run" in said
    config = load_config(f"{CONFIGS / 'fashion_mnist_detect.py'}:smoke")
    config.detect.flows = (str(five_bits),)
    with pytest.raises(UserError, match=r"is of images of 32 values.*8-bit images"):
        trained_flows(config, trained.sets._replace(bins=256))


def test_sixteen_bits_reach_the_training_step():
    """Values above 255, in the dtype that holds them; nothing is compiled."""
    changes = [a.removeprefix("--config.") for a in of(2**16)[1:]]
    config = load_config(DEMO, changes)
    sets = load_sets(config)
    assert sets.train.images.max() > 255
    training, state = build.training(config, sets), build.state_template(config, sets)
    batch = training.batches(0)
    assert batch["image"].dtype == np.uint16
    _, metrics = jax.eval_shape(training.train_step, state, batch, training.key)
    assert "bits_per_dim" in metrics


@pytest.mark.slow
def test_sixteen_bits_are_trained_on_scored_and_drawn(tmp_path):
    assert run(["train", *of(2**16), f"--workdir={tmp_path}"]) == 0
    by_hand = read_bits(tmp_path, dims=64)
    for name, bits in read_results(tmp_path)["bits_per_dim"].items():
        assert bits == pytest.approx(np.mean(by_hand[name]) + 8, abs=1e-5)
    assert (tmp_path / "samples.png").exists()


def test_a_run_older_than_the_key_goes_on(tmp_path):
    """Its config.json has no `data.bins`: its images had 256 values."""
    config = load_config(DEMO)
    keep_config(config, tmp_path)
    older = json.loads((tmp_path / "config.json").read_text())
    assert older["data"].pop("bins") == 256
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert read_config(tmp_path).to_dict() == config.to_dict()
    check_config(config, tmp_path)
    with pytest.raises(UserError, match=r"data.bins \(256 there, 32 now\)"):
        check_config(load_config(DEMO, ["data.bins=32"]), tmp_path)
    # config files of one's own, too, which may be locked
    own = ConfigDict(older).lock()
    check_sections(own, "own.py")
    assert (own.data.bins, own.is_locked) == (256, True)

"""Negative training, from its config to its results."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build, evaluation
from experiments.core.build import objective
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow
from experiments.core.keys import flatten
from experiments.core.negatives import check_apart
from experiments.core.sets import load_sets
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, only_error, read_results, snapshot

FILES = ("fashion_mnist", "cifar10", "celeba", "svhn")
SMOKE = f"{CONFIGS / 'fashion_mnist_negative.py'}:smoke"
SMALL = (
    "model.scales=1",
    "model.couplings=2",
    "model.width=2",
    "model.blocks=1",
    "data.limit_train=64",
    "data.limit_test=40",
    "train.negative_classes=5",
    "train.negative_threshold=-2500",
)
TRAIN = ("train", f"--config={SMOKE}", *(f"--config.{o}" for o in SMALL))
NAMES = [
    "mnist classes 0-4",
    "mnist classes 5-9",
    "fashion_mnist inverted",
    "fashion_mnist dimmed",
    "fashion_mnist upside_down",
]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run with batch norm, exposed to half of the digits."""
    at = tmp_path_factory.mktemp("negative") / "run"
    assert run([*TRAIN, f"--workdir={at}"]) == 0
    return at


def load(*overrides):
    return load_config(SMOKE, (*SMALL, *overrides))


@pytest.fixture(scope="module")
def sets():
    return load_sets(load())


def refused(*overrides) -> str:
    with pytest.raises(UserError) as caught:
        load_sets(load(*overrides))
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_the_recipe_is_the_baselines(name):
    """Of the original, but for its example, CIFAR-10 at half the rate."""
    found, base = (
        flatten(load_config(str(CONFIGS / f"{name}_{kind}.py")))
        for kind in ("negative", "realnvp")
    )
    changed = {key for key in base if found[key] != base[key]}
    allowed = {"train.negative", "train.negative_threshold", "data.ood", "data.altered"}
    allowed |= {"optimizer.learning_rate"} if name == "cifar10" else set()
    assert changed <= allowed
    grey = name == "fashion_mnist"
    assert found["train.negative_threshold"] == (-30_000.0 if grey else -100_000.0)
    assert found["train.negative"].endswith(":train")
    assert found["optimizer.learning_rate"] == {"celeba": 1e-4, "svhn": 1e-4}.get(
        name, 5e-5
    )
    # scored on what it is exposed to, and on something else
    told = found["train.negative"].replace("train", "test")
    assert told in found["data.ood"]
    assert len(found["data.ood"] + found["data.altered"]) > 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("variant", ["smoke", "cpu"])
def test_variants_are_whole(name, variant):
    config = load_config(f"{CONFIGS / f'{name}_negative.py'}:{variant}")
    assert config.train.negative
    # both kinds divide over up to eight devices
    assert config.train.batch_size % 8 == 0
    if variant == "smoke":
        assert objective(config, load_sets(config), SimpleNamespace(dims=8)) is not None


def test_sets_are_told_of_or_not(sets):
    assert list(sets.ood) == NAMES
    assert sets.exposed == ("mnist classes 0-4",)
    told, untold = (sets.ood[name] for name in NAMES[:2])
    assert set(told.labels) <= set(range(5))
    assert set(untold.labels) <= set(range(5, 10))
    assert len(told) + len(untold) == 40
    assert set(sets.negative.labels) <= set(range(5))
    assert sets.negative.split == "train"
    np.testing.assert_array_equal(
        sets.ood["fashion_mnist inverted"].images, 255 - sets.test.images
    )


def test_a_flow_told_of_all_classes_is_told_of_the_whole_set():
    sets = load_sets(load("train.negative_classes=0", "data.altered="))
    assert list(sets.ood) == ["mnist"]
    assert sets.exposed == ("mnist",)
    assert len(sets.negative) == 64


def test_without_negatives_nothing_is_told():
    config = load("train.negative=", "train.negative_classes=0")
    sets = load_sets(config)
    assert (sets.negative, sets.exposed) == (None, ())
    assert next(iter(sets.ood)) == "mnist"
    assert "negative" not in build.batches(config, sets)(0)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("train.negative=",), "negative_classes is 5, but no set of negatives"),
        (("train.negative=mnist:test",), "config.data.ood (mnist:test) are the same"),
        (("train.negative=fashion_mnist:train",), "config.data.train are the same"),
        (("train.negative=fashion_mnist",), "config.data.test are the same images"),
        (("train.negative=mnis:train",), "did you mean 'mnist'?"),
        (("train.negative_classes=10",), "mnist:test has the classes 0 to 9"),
        (("train.negative_classes=-1",), "must be at least 0, got -1"),
        (("data.altered=invertd",), "did you mean 'inverted'?"),
        (
            ("data.source=synthetic", "train.negative=cifar10:train"),
            "cifar10:train has images of shape (32, 32, 3)",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(overrides, said):
    if "cifar10" in str(overrides):
        overrides += ("train.negative_classes=0",)
    assert said in refused(*overrides)


def test_images_that_are_scored_under_another_name_are_refused(tmp_path):
    """The same digits from another source: negatives, and scored."""
    told = load_sets(load("train.negative_classes=0")).negative
    np.savez(tmp_path / "other.npz", test=told.images)
    said = refused(
        "train.negative_classes=0",
        "data.limit_test=0",
        "data.ood=other:test",
        "data.ood_source=npz",
        f"data.ood_path={tmp_path / 'other.npz'}",
    )
    assert "64 of the 64 images of other that are scored are among" in said


def test_images_to_learn_are_no_negatives(sets):
    message = "images to learn are among the negatives"
    with pytest.raises(UserError, match=message):
        check_apart(sets.train, sets.train, {})
    check_apart(sets.negative, sets.train, {})


@pytest.mark.parametrize("key", ["train.negative=mnist:train", "data.altered=dimmed"])
def test_vectors_have_neither_negatives_nor_alterations(key):
    with pytest.raises(UserError, match=r"acts on images, and model .* is on vectors"):
        load_config(f"{CONFIGS / 'tabular_sklearn.py'}:smoke", [key])


def test_a_threshold_that_says_nothing_is_refused(sets):
    config = load()
    config.train.negative_threshold = float("-inf")
    with pytest.raises(UserError, match=r"negative_threshold: .* finite, got -inf"):
        build.training(config, sets)


def test_an_epoch_ends_with_the_smaller_set(sets):
    config = load("train.num_steps=0", "train.num_epochs=4")
    assert len(sets.negative) < len(sets.train)
    steps = -(-4 * len(sets.negative) // config.train.batch_size)
    assert build.training(config, sets).plan.num_steps == steps


@pytest.mark.thorough
def test_results_tell_what_was_told(workdir):
    results = read_results(workdir)
    assert set(results["auroc"]) == set(NAMES)
    assert results["told"] == ["mnist classes 0-4"]
    assert results["data"]["negative"]["split"] == "train"
    assert "classes 0-4" in results["data"]["negative"]["origin"]
    assert results["steps"] == 4
    # batch norm: by the running statistics, and by recomputed ones
    assert set(results["running_statistics"]["auroc"]) == set(NAMES)
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    for record in map(json.loads, lines):
        assert 0 <= record["negative_fraction"] <= 1
        assert record["log_likelihood_of_negatives"] < 0
        assert np.isfinite(record["bits_per_dim"])


def test_batch_statistics_are_recomputed_over_both_kinds(workdir, monkeypatch):
    trained = TrainedFlow.restore(workdir)
    config, sets = trained.config, trained.sets
    seen = []

    def keep(flow, variables, batches, place):
        seen.extend(np.asarray(batch) for batch in batches)
        return variables

    monkeypatch.setattr(evaluation, "recompute_batch_stats", keep)
    assert trained.variables
    assert len(seen) == config.eval.recompute_batches
    expected = build.batches(config, sets, config.eval.seed)(1)
    assert len(seen[1]) == 2 * config.train.batch_size
    np.testing.assert_array_equal(np.floor(seen[1] * 256), expected["image"])


def test_a_run_goes_on_with_its_own_negatives_alone(capsys, workdir, tmp_path):
    copy = shutil.copytree(workdir, tmp_path / "run")
    kept = json.loads((copy / "data.json").read_text())
    assert set(kept) == {"shape", "sha256", "sample_sha256", "negative"}
    kept["negative"]["sha256"] = "0" * 64
    (copy / "data.json").write_text(json.dumps(kept))
    before = snapshot(copy)
    assert run([*TRAIN, f"--workdir={copy}"]) == 2
    assert "the training images are not those" in only_error(capsys.readouterr().err)
    assert snapshot(copy) == before

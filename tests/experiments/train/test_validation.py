"""`data.validation` of images: some are held back, and the best state counts."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments.cli import run
from experiments.core import build
from experiments.core.data_identity import keep_data
from experiments.core.evaluation import TrainedFlow
from experiments.core.run_config import read_config
from experiments.core.sets import load_sets
from flowjax_ood import data
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, read_results
from tests.helpers.validation_runs import (
    ARGUMENTS,
    ASTRAY,
    HELD,
    assert_same_arrays,
    config_of,
    saved,
    scores_of,
    train,
)

# ---- the best state


@pytest.mark.thorough
def test_the_best_state_is_that_of_the_highest_score(held_run):
    scores = scores_of(held_run)
    assert list(scores) == [2, 4, 6, 8]
    best = max(scores, key=scores.get)
    # or this would say nothing
    assert best < 8
    results = read_results(held_run)
    assert results["steps"] == results["validation"]["step"] == best
    assert results["validation"] == {
        "statistic": "mean",
        "score": scores[best],
        "step": best,
        "since": 4 - best // 2,
    }
    assert TrainedFlow.restore(held_run).step == best


@pytest.mark.thorough
def test_it_is_the_state_of_a_run_that_ends_there(held_run, tmp_path):
    best = read_results(held_run)["steps"]
    shorter = train(tmp_path / "run", f"--config.train.num_steps={best}")
    assert_same_arrays(saved(held_run, "best")[best], saved(shorter)[best])


def nats(config, variables, images) -> np.ndarray:
    """Written out: one draw of `eval.seed`, float32, running statistics."""
    flow = build.flow(config, images.shape[1:])
    keys = example_keys(build.random_key(config.eval.seed), np.arange(len(images)))
    with jax.default_matmul_precision("highest"):
        return np.asarray(flow.apply(variables, dequantize(images, keys)))


@pytest.mark.thorough
def test_scores_are_of_the_images_held_back(held_run):
    restored = TrainedFlow.restore(held_run)
    images = restored.sets.validation.images
    found = nats(restored.config, restored.running, images)
    assert found.shape == (HELD,)
    score = read_results(held_run)["validation"]["score"]
    assert score == pytest.approx(found.mean(), rel=1e-5)


GLOW = (
    "train",
    f"--config={CONFIGS / 'fashion_mnist_glow.py'}:smoke",
    "--config.model.scales=1",
    "--config.model.steps=1",
    "--config.data.limit_train=64",
    "--config.data.limit_test=20",
    f"--config.data.validation={HELD}",
)


@pytest.mark.thorough
@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("arguments", [ARGUMENTS, GLOW], ids=["real_nvp", "glow"])
def test_the_score_is_the_statistic_asked_for(arguments, statistic):
    config = config_of(f"train.validate_by={statistic}", arguments=arguments)
    sets = load_sets(config)
    parts = build.training(config, sets)
    variables = parts.initial().variables()
    expected = getattr(np, statistic)(nats(config, variables, sets.validation.images))
    looks = [parts.validate.score(variables) for _ in range(2)]
    # the same noise at every look
    assert looks[0] == looks[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.thorough
def test_patience_ends_training(tmp_path):
    workdir = train(tmp_path / "run", "--config.train.patience=1")
    scores = list(scores_of(workdir).values())
    # the first look that finds no better one is the last
    assert len(scores) < 4
    assert max(scores) == scores[-2] > scores[-1]
    found = read_results(workdir)
    assert found["validation"]["since"] == 1
    assert found["steps"] == 2 * (len(scores) - 1)


@pytest.mark.thorough
def test_evaluate_alone_finds_the_same(held_run, tmp_path):
    held_copy = shutil.copytree(held_run, tmp_path / "run")
    expected = read_results(held_copy)
    (held_copy / "results.json").unlink()
    assert run(["evaluate", f"--workdir={held_copy}"]) == 0
    assert read_results(held_copy) == expected


# ---- what is held back


def test_what_is_held_back_is_never_trained_on(held_run):
    config = read_config(held_run)
    sets = load_sets(config)
    whole = data.load("fashion_mnist:train", source="embedded", limit=64)
    known = [image.tobytes() for image in whole.images]
    assert len(set(known)) == 64
    held = {image.tobytes() for image in sets.validation.images}
    assert len(held) == HELD
    seen = set()
    for step in range(8):
        seen |= {
            image.tobytes() for image in build.batches(config, sets)(step)["image"]
        }
    # two epochs: all others were
    assert seen == set(known) - held


def test_results_and_data_tell_of_it(held_run, tmp_path):
    described = read_results(held_run)["data"]
    counts = {role: found["count"] for role, found in described.items()}
    assert counts == {
        "train": 64 - HELD,
        "validation": HELD,
        "test": 20,
        "mnist": 20,
    }
    assert "; without the 10 of 64 held back by seed 0" in described["train"]["origin"]
    assert described["validation"]["origin"].endswith(
        "; the 10 of 64 held back by seed 0"
    )
    kept = json.loads((held_run / "data.json").read_text())
    sets = load_sets(config_of("data.validation=0"))
    assert (sets.validation, sets.other_arrays) == (None, {})
    keep_data(sets.train, tmp_path, **sets.other_arrays)
    without = json.loads((tmp_path / "data.json").read_text())
    assert kept["shape"][0] == without["shape"][0] - HELD
    assert kept["images_held_back"]["shape"][0] == HELD
    assert "images_held_back" not in without
    assert kept["sha256"] != without["sha256"]


def test_a_run_goes_on_with_the_same_images_held_back(tmp_path):
    sets = load_sets(config_of())
    keep_data(sets.train, tmp_path, **sets.other_arrays)
    keep_data(sets.train, tmp_path, **sets.other_arrays)
    others = {"images_held_back": 255 - sets.validation.images}
    with pytest.raises(UserError, match=r"the images_held_back of .* were others"):
        keep_data(sets.train, tmp_path, **others)


NEGATIVE = (
    "train",
    f"--config={CONFIGS / 'fashion_mnist_negative.py'}:smoke",
    *ASTRAY[1:],
    "--config.optimizer.learning_rate=1e-3",
    "--config.train.num_steps=4",
    f"--config.data.validation={HELD}",
)


@pytest.mark.thorough
def test_of_negative_training_what_is_learned_is_held_back(tmp_path):
    config = config_of(arguments=NEGATIVE)
    sets = load_sets(config)
    plain = load_sets(config_of("data.validation=0", arguments=NEGATIVE))
    np.testing.assert_array_equal(sets.negative.images, plain.negative.images)
    assert sets.validation.name == "fashion_mnist"
    assert (len(sets.train), len(sets.validation)) == (64 - HELD, HELD)
    workdir = train(tmp_path / "run", arguments=NEGATIVE)
    scores = scores_of(workdir)
    assert read_results(workdir)["steps"] == max(scores, key=scores.get)

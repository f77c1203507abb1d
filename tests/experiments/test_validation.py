"""`data.validation` of flows on images: some are held back, and the best state counts.

A rate so high that training goes astray makes the last state not the best.
"""

import json
import logging
import shutil

import jax
import numpy as np
import pytest
from experiment_runs import CONFIGS, TINY, only_error, read_results

from experiments import build, evaluate
from experiments.__main__ import run
from experiments.config import UserError, flatten, load_config
from experiments.kept_config import keep_config, read_config
from experiments.sets import load_sets
from experiments.workdir import keep_data
from flowjax_ood import data
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.training.checkpoint import Checkpoints
from tests.data.prepared_tfds import prepare

HELD = 10
ASTRAY = (
    *TINY,
    "--config.model.norm=batch",
    "--config.optimizer.schedule=constant",
    "--config.optimizer.learning_rate=0.3",
    "--config.train.num_steps=8",
    # the best is not at hand when the next checkpoint is written
    "--config.train.checkpoint_every=3",
    "--config.eval.samples=0",
)
ARGUMENTS = ("train", *ASTRAY, f"--config.data.validation={HELD}")


def config_of(*overrides, arguments=ARGUMENTS):
    """The config that `train` makes of its arguments, and of `a.b=v`."""
    given = [a.removeprefix("--config.") for a in arguments[2:]]
    return load_config(arguments[1].removeprefix("--config="), (*given, *overrides))


def train(workdir, *more, arguments=ARGUMENTS):
    assert run([*arguments, *more, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture(scope="module")
def held_run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def held_copy(held_run, tmp_path):
    return shutil.copytree(held_run, tmp_path / "run")


def records(workdir) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    clock = ("images_per_second", "input_wait", "seconds")
    return [
        {k: v for k, v in json.loads(line).items() if k not in clock} for line in lines
    ]


def scores_of(workdir) -> dict[int, float]:
    """Of each look, by its step; checkpoints are logged in between."""
    return {r["step"]: r["validation"] for r in records(workdir) if "validation" in r}


def saved(workdir, room="checkpoints") -> dict[int, dict]:
    """`{step: {leaf: array}}` of the checkpoints of a run."""
    config = read_config(workdir)
    template = build.state_template(config, load_sets(config))
    with Checkpoints(workdir / room) as checkpoints:
        return {
            step: {
                jax.tree_util.keystr(path): leaf
                for path, leaf in jax.tree.leaves_with_path(
                    checkpoints.restore(template, step)[0]
                )
            }
            for step in checkpoints.steps()
        }


def assert_same_arrays(one, other) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=str(name))


def assert_same_run(one, other) -> None:
    """Bit for bit: states, scores, likelihoods and results."""
    for room in ("checkpoints", "best"):
        ours, theirs = saved(one, room), saved(other, room)
        # how many are kept is a matter of where it stopped
        last = max(ours)
        assert last == max(theirs)
        assert_same_arrays(ours[last], theirs[last])
    assert records(one) == records(other)
    with (
        np.load(one / "likelihoods.npz") as ours,
        np.load(other / "likelihoods.npz") as theirs,
    ):
        assert_same_arrays(dict(ours), dict(theirs))
    ours, theirs = read_results(one), read_results(other)
    for key in ("validation", "bits_per_dim", "auroc", "steps"):
        assert ours[key] == theirs[key]


# ---- the best state


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
    config = read_config(held_run)
    restored = evaluate.restore(config, held_run, load_sets(config))
    assert int(restored.state.step) == best


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


def test_scores_are_of_the_images_held_back(held_run):
    config = read_config(held_run)
    sets = load_sets(config)
    restored = evaluate.restore(config, held_run, sets)
    found = nats(config, restored.state.variables(), sets.validation.images)
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


def test_patience_ends_training(tmp_path):
    workdir = train(tmp_path / "run", "--config.train.patience=1")
    scores = list(scores_of(workdir).values())
    # the first look that finds no better one is the last
    assert len(scores) < 4
    assert max(scores) == scores[-2] > scores[-1]
    found = read_results(workdir)
    assert found["validation"]["since"] == 1
    assert found["steps"] == 2 * (len(scores) - 1)


def test_evaluate_alone_finds_the_same(held_copy):
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
    assert (sets.validation, sets.beside) == (None, {})
    keep_data(sets.train, tmp_path, **sets.beside)
    without = json.loads((tmp_path / "data.json").read_text())
    assert kept["shape"][0] == without["shape"][0] - HELD
    assert kept["images_held_back"]["shape"][0] == HELD
    assert "images_held_back" not in without
    assert kept["sha256"] != without["sha256"]


def test_a_run_goes_on_with_the_same_images_held_back(tmp_path):
    sets = load_sets(config_of())
    keep_data(sets.train, tmp_path, **sets.beside)
    keep_data(sets.train, tmp_path, **sets.beside)
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


# ---- going on


@pytest.mark.parametrize("at", [3, 6])
def test_a_run_that_goes_on_ends_as_if_nothing_had_happened(held_run, tmp_path, at):
    workdir = tmp_path / "run"
    train(workdir, f"--config.train.num_steps={at}")
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


def test_streamed_it_is_the_same_run(held_run, prepared, tmp_path):
    workdir = train(tmp_path / "run", *prepared, STREAMED)
    assert_same_run(workdir, held_run)
    found, expected = (read_results(w)["data"] for w in (workdir, held_run))
    assert found["train"]["streamed"]
    assert found["train"]["count"] == expected["train"]["count"]
    tail = found["validation"]["origin"].rpartition(";")[2]
    assert tail == expected["validation"]["origin"].rpartition(";")[2]


def test_half_of_it_may_be_streamed(held_run, prepared, tmp_path):
    workdir = tmp_path / "run"
    train(workdir, *prepared, "--config.train.num_steps=3")
    train(workdir, *prepared, STREAMED)
    assert_same_run(workdir, held_run)


# ---- without


def test_without_it_nothing_changes(tmp_path):
    """Of a config from before there were such keys, and whatever they are."""
    arguments = ("train", *ASTRAY, "--config.train.num_steps=4")
    plain = train(tmp_path / "plain", arguments=arguments)
    before = train(
        tmp_path / "before", "--config.train.num_steps=3", arguments=arguments
    )
    file = before / "config.json"
    old = json.loads(file.read_text())
    assert old["data"].pop("validation") == 0
    for key in ("validate_every", "patience", "validate_by"):
        del old["train"][key]
    file.write_text(json.dumps(old))
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
    with pytest.raises(UserError, match=r"is 0\.1, a share, as of vectors; of images"):
        load_sets(config)


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

"""Classifiers of configs: tiny trainings, how they go on, and what is refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from experiments.core.config import load_config
from experiments.core.sets import load_sets
from experiments.detect import networks
from flowjax_ood.data.outliers.images import pseudo_outliers
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood.network import as_input
from tests.helpers.experiment_runs import CONFIGS

FILES = ("fashion_mnist_detect", "cifar10_detect", "genomics_detect")
TINY = {
    "fashion_mnist_detect": (),
    "cifar10_detect": ("model.blocks=1,1", "model.widths=4,4", "data.limit_train=32"),
    "genomics_detect": ("model.length=8", "model.hidden=3", "data.limit_train=64"),
}


def tiny(name="fashion_mnist_detect", *overrides):
    """Four steps of eight examples, on 8x8 pixels."""
    steps = ("train.num_steps=4", "train.checkpoint_every=2", "train.batch_size=8")
    images = ("data.image_size=8",) if name != "genomics_detect" else ()
    limits = ("data.limit_train=48", "data.limit_test=16", "exposure.num_steps=3")
    given = (*steps, *images, *limits, *TINY[name], *overrides)
    return load_config(f"{CONFIGS / name}.py:smoke", given)


def train(config, workdir, **kwargs):
    sets = kwargs.pop("sets", None) or load_sets(config)
    return networks.train_classifier(config, workdir, sets, "training", **kwargs)


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def differ(found, other):
    leaves = zip(jax.tree.leaves(found), jax.tree.leaves(other), strict=True)
    return any((a != b).any() for a, b in leaves)


# --- tiny trainings -----------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`{config: (workdir, what train_classifier returned)}`, each trained once."""
    made = {}

    def of(name):
        if name not in made:
            workdir = tmp_path_factory.mktemp("classifiers") / name
            made[name] = workdir, train(tiny(name), workdir)
        return made[name]

    return of


@pytest.fixture
def run(runs, tmp_path):
    """`run(name)`: a copy of such a run, to go on with."""

    def copied(name="fashion_mnist_detect"):
        workdir, found = runs(name)
        shutil.copytree(workdir, tmp_path / "run")
        return tmp_path / "run", found

    return copied


@pytest.mark.thorough
@pytest.mark.parametrize("name", FILES)
def test_a_training_goes_on_from_its_checkpoint(run, name):
    workdir, (module, variables, facts) = run(name)
    assert facts["steps"] == 4
    assert 0 <= facts["accuracy"] <= 1
    shutil.rmtree(workdir / "checkpoints" / "4")
    again = train(tiny(name), workdir)
    same(again[1], variables)
    sets = load_sets(tiny(name))
    x = as_input(sets.inputs(sets.test))
    taps, logits = module.apply(variables, x, method="taps")
    assert logits.shape == (16, module.classes)
    assert set(module.layers) <= set(taps)
    right = (logits.argmax(1) == sets.test.labels).mean()
    assert facts["accuracy"] == pytest.approx(float(right), abs=1 / 16)


def outliers(count=20, seed=0):
    sets = load_sets(tiny("cifar10_detect"))
    return pseudo_outliers(sets.train.images[:count], seed)[0]


@pytest.mark.thorough
def test_exposure_goes_on_from_a_network_and_resumes(run, tmp_path):
    config = tiny("cifar10_detect")
    _, (_, start, _) = run("cifar10_detect")
    place = tmp_path / "exposed"
    told = outliers()
    _, variables, facts = train(config, place, outliers=told, start=start)
    assert facts["steps"] == 3
    assert differ(variables, start)
    # a cosine from 1e-3 in three steps moves little: it did not begin anew
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), variables, start)
    assert max(jax.tree.leaves(moved["params"])) < 0.05
    *_, last = (place / "metrics.jsonl").read_text().splitlines()
    assert {"outlier_loss", "cross_entropy", "accuracy"} <= json.loads(last).keys()
    # it goes on, and refuses what would make it another
    shutil.rmtree(place / "checkpoints" / "3")
    same(train(config, place, outliers=told, start=start)[1], variables)
    with pytest.raises(UserError, match=r"the outliers of .* were others"):
        train(config, place, outliers=outliers(seed=1), start=start)
    other = jax.tree.map(lambda a: a + 1, start)
    with pytest.raises(UserError, match=r"the starting_network of .* were others"):
        train(config, place, outliers=told, start=other)
    heavy = tiny("cifar10_detect", "exposure.weight=0.7")
    with pytest.raises(UserError, match=r"exposure\.weight \(0\.5 there, 0\.7 now\)"):
        train(heavy, place, outliers=told, start=start)


@pytest.mark.thorough
def test_exposure_from_the_first_step(tmp_path):
    config = tiny("cifar10_detect", "exposure.batch_size=3")
    _, _, facts = train(config, tmp_path, outliers=outliers())
    # the steps and the optimiser of an ordinary training
    assert facts["steps"] == 4


@pytest.mark.thorough
def test_groups_of_batch_norm_train_another_network(run, tmp_path):
    _, (_, whole, _) = run("cifar10_detect")
    _, groups, _ = train(tiny("cifar10_detect", "model.norm_group=4"), tmp_path / "new")
    assert differ(groups, whole)


def test_what_trains_no_network_may_change(run):
    workdir, (_, variables, _) = run()
    free = ("exposure.weight=0.9", "exposure.source=", "detect.validation=8")
    tested = ("data.limit_test=12", "data.altered=inverted", "data.ood=mnist:train")
    same(train(tiny("fashion_mnist_detect", *free, *tested), workdir)[1], variables)
    for change in ("train.augment=crop_flip", "optimizer.momentum=0.8"):
        key = change.partition("=")[0]
        with pytest.raises(UserError, match=f"belongs to another config: {key}"):
            train(tiny("fashion_mnist_detect", change), workdir)


def test_a_network_stays_in_its_mode(run):
    workdir, _ = run("cifar10_detect")
    with pytest.raises(UserError, match=r"another config: parallel \('jit' there"):
        train(tiny("cifar10_detect", "parallel=pmap"), workdir)


# --- what cannot be -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("fashion_mnist_detect", ["model.name=lenett"], "unknown 'lenett'"),
        ("cifar10_detect", ["model.name=lenet"], r"model\.blocks: 'lenet' has none"),
        ("cifar10_detect", ["model.blocks=1"], "blocks and widths need one number"),
        ("cifar10_detect", ["model.precision=half"], "unknown 'half'"),
        ("fashion_mnist_detect", ["optimizer.name=sdg"], "unknown 'sdg'"),
        ("cifar10_detect", ["optimizer.schedule=steps"], "unknown 'steps'"),
        ("cifar10_detect", ["optimizer.boundaries=3,2"], "must be positive and rise"),
        ("cifar10_detect", ["optimizer.schedule=cosine"], "reset_momentum starts"),
        (
            "cifar10_detect",
            ["optimizer.momentum=1.5"],
            r"momentum must lie in \[0, 1\)",
        ),
        (
            "cifar10_detect",
            ["model.norm_group=3"],
            r"norm_group=3 does not divide the 8 examples .* each of 1 devices",
        ),
        ("cifar10_detect", ["train.augment=flip"], "train.augment: unknown 'flip'"),
        ("genomics_detect", ["train.augment=crop_flip"], "augment acts on images"),
        (
            "fashion_mnist_detect",
            ["train.num_steps=0", "train.num_epochs=0"],
            "set config.train.num_steps",
        ),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_written(
    tmp_path, name, overrides, said
):
    with pytest.raises(UserError, match=said):
        train(tiny(name, *overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_outliers_that_do_not_fit(tmp_path):
    config, wide = tiny("cifar10_detect"), np.zeros((4, 9, 9, 3), np.uint8)
    for given, said in ((wide, "cannot be trained with"), (wide / 255, "uint8")):
        with pytest.raises(UserError, match=said):
            train(config, tmp_path / "run", outliers=given)
    letters = tiny("genomics_detect")
    with pytest.raises(UserError, match=r"images must be uint8 \[N, H, W, C\]"):
        train(letters, tmp_path / "run", outliers=wide)
    never = tiny("cifar10_detect", "exposure.num_steps=0", "exposure.num_epochs=0")
    with pytest.raises(UserError, match=r"set config\.exposure\.num_steps"):
        train(never, tmp_path / "run", outliers=outliers(), start={"params": {}})
    assert not (tmp_path / "run").exists()


def test_a_set_without_labels(tmp_path):
    config = tiny()
    sets = load_sets(config)
    sets = sets._replace(train=dataclasses.replace(sets.train, labels=None))
    with pytest.raises(UserError, match="fashion_mnist:train has no labels"):
        train(config, tmp_path / "run", sets=sets)


def test_the_networks_of_a_run_differ_by_their_seed(tmp_path):
    config = tiny()
    second = networks.seeded(config, 2)
    assert (config.seed, second.seed) == (0, 2)
    place = networks.network_workdir(tmp_path, second)
    assert place == tmp_path / "networks" / "seed_2"

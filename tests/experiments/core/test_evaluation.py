"""`TrainedFlow`: every command scores a flow by the same variables, bit for bit."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments.core import build, evaluation
from experiments.core.config import load_config
from experiments.core.evaluation import TrainedFlow, dequantized
from experiments.core.run_config import keep_config
from experiments.core.sets import load_sets
from experiments.detect import flows as detect_flows
from experiments.inspect import InspectOptions
from experiments.inspect.measures import terms
from experiments.inspect.subject import subject
from experiments.precision import command as precision
from experiments.samples import command as samples
from flowjax_ood.evaluation.batch_statistics import recompute_batch_stats
from flowjax_ood.interface.errors import UserError
from flowjax_ood.precision import FLOAT32
from flowjax_ood.training.checkpoints.errors import CheckpointError
from tests.helpers import detect_stubs as stubs
from tests.helpers.experiment_runs import CONFIGS
from tests.helpers.tiny_run import assert_same

pytestmark = pytest.mark.thorough

TERMS = ("log_pz", "logdet")


@pytest.fixture(scope="module")
def trained(smoke_run):
    """The flow of a run, with batch norm."""
    return TrainedFlow.restore(smoke_run)


@pytest.fixture(scope="module")
def likelihoods(trained):
    return trained.likelihoods()


def assert_same_terms(likelihoods, expected) -> None:
    assert list(likelihoods) == list(expected)
    for name, ll in expected.items():
        for term in TERMS:
            np.testing.assert_array_equal(
                getattr(likelihoods[name], term), getattr(ll, term)
            )


def test_a_network_of_detect_is_no_flow(tmp_path):
    keep_config(load_config(f"{CONFIGS / 'fashion_mnist_detect.py'}:smoke"), tmp_path)
    with pytest.raises(UserError, match="holds lenet, a classifier of `detect`"):
        TrainedFlow.restore(tmp_path)


def test_statistics_are_recomputed_over_training_batches(trained):
    c = trained.config.eval
    key, batches = (
        build.random_key(c.seed),
        build.batches(trained.config, trained.sets, c.seed),
    )
    images = [
        dequantized(batches(step)["image"], jax.random.fold_in(key, step), 256)
        for step in range(c.recompute_batches)
    ]
    by_hand = recompute_batch_stats(trained.flow, trained.running, images)
    assert_same(trained.variables, by_hand)
    lagging, precise = (
        jax.tree.leaves(v["batch_stats"]) for v in (trained.running, by_hand)
    )
    assert any((a != b).any() for a, b in zip(lagging, precise, strict=True))


def test_nothing_is_recomputed_before_it_is_needed(smoke_run, tiny_run, monkeypatch):
    monkeypatch.setattr(evaluation, "recompute_batch_stats", stubs.never)
    restored = TrainedFlow.restore(smoke_run)
    assert (restored.step, restored.label) == (4, "smoke")
    assert restored.batch_norm
    with pytest.raises(AssertionError):
        _ = restored.variables
    plain = TrainedFlow.restore(tiny_run, label="plain")
    assert not plain.batch_norm
    assert plain.variables is plain.running
    assert plain.label == "plain"


def test_overrides_reach_the_sets_and_the_config(tiny_run):
    overrides = ("data.ood=mnist:train", "data.limit_test=7", "eval.seed=5")
    restored = TrainedFlow.restore(tiny_run, overrides)
    assert list(restored.sets.scored) == ["fashion_mnist", "mnist"]
    assert restored.sets.ood["mnist"].split == "train"
    assert {len(images) for images in restored.sets.scored.values()} == {7}
    assert restored.config.eval.seed == 5


def test_train_reports_those_likelihoods(smoke_run, likelihoods):
    with np.load(smoke_run / "likelihoods.npz") as kept:
        for name, ll in likelihoods.items():
            for term in TERMS:
                np.testing.assert_array_equal(kept[f"{name}/{term}"], getattr(ll, term))


def test_precision_compares_with_them(smoke_run, tmp_path, monkeypatch):
    workdir = shutil.copytree(smoke_run, tmp_path / "smoke")
    monkeypatch.setattr(precision, "ARITHMETIC", {"float32": FLOAT32})
    precision.main(TrainedFlow.restore(workdir))
    row = json.loads((workdir / "precision.json").read_text())["precisions"]["float32"]
    results = json.loads((workdir / "results.json").read_text())
    for key in ("bits_per_dim", "auroc", "auroc_ci95"):
        assert row[key] == results[key]


def test_inspect_looks_through_them(trained, likelihoods, monkeypatch):
    looked_at = subject(trained, InspectOptions())
    assert looked_at.trained.variables is looked_at.modes["recomputed"].variables
    assert looked_at.modes["running"].variables is trained.running
    only = {"recomputed": looked_at.modes["recomputed"]}
    measured = terms(looked_at._replace(modes=only))
    assert_same_terms(measured["recomputed"], likelihoods)


def test_samples_are_drawn_by_them(smoke_run, trained):
    drawing = samples.load(smoke_run, (), "run")
    assert_same(drawing.trained.variables, trained.variables)


def test_detect_ranks_by_them(smoke_run, trained, tmp_path):
    limits = ("data.limit_train=40", "data.limit_test=64")
    config = load_config(stubs.CONFIG, limits)
    config.detect.flows = (str(smoke_run),)
    sets = load_sets(config)
    (flow,) = detect_flows.trained_flows(config, sets)
    assert_same(flow.variables, trained.variables)
    tests = {name: images.images for name, images in sets.scored.items()}
    rows = detect_flows.flow_runs([flow], tests, tmp_path)
    # all sets in one pass, whose noise is numbered through
    together = trained.score(np.concatenate(list(tests.values())), "together")
    for term in TERMS:
        ((run,),) = rows[detect_flows.TERMS[term], "none"]
        scores = np.concatenate(list(run.scores.values()))
        np.testing.assert_array_equal(scores, getattr(together, term))


class Rotating:
    """Checkpoints of a run that removes each before it is read, but the last."""

    steps = (10, 14, 18)

    def __init__(self, directory):
        self.step = directory.pop(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def latest_step(self):
        return self.step

    def restore(self, template):
        if self.step < self.steps[-1]:
            raise CheckpointError(f"step {self.step} is incomplete")
        return template, {"step": self.step}


def test_a_checkpoint_that_is_replaced_meanwhile_is_looked_for_again(monkeypatch):
    monkeypatch.setattr(evaluation, "Checkpoints", Rotating)
    assert evaluation._restored([10, 14, 18], "t") == ("t", {"step": 18})
    # one that stays as it is cannot be read
    with pytest.raises(CheckpointError, match="step 14 is incomplete"):
        evaluation._restored([10, 14, 14, 18], "t")

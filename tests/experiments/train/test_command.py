"""`train` and `evaluate` end to end: what they leave, and that it agrees."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.cli import run
from experiments.core import evaluation, run_outputs
from experiments.core.evaluation import TrainedFlow
from experiments.core.run_config import read_config
from experiments.train import command as train
from flowjax_ood.interface.text import run_name
from tests.helpers.experiment_runs import TINY, read_bits, read_results, snapshot

PNGS = {"likelihoods.png", "likelihood_terms.png", "samples.png"}
# of the design: what a run leaves in results.json
KEYS = {
    "data",
    "bits_per_dim",
    "bits_per_dim_median",
    "auroc",
    "auroc_ci95",
    "train_seconds",
    "images_per_second",
    "params",
    "versions",
}


@pytest.fixture
def smoke_copy(smoke_run, tmp_path):
    return shutil.copytree(smoke_run, tmp_path / "smoke")


@pytest.fixture
def tiny_copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "tiny")


def mean_bits(trained, variables):
    found = trained.likelihoods(variables=variables)
    return {name: float(ll.bits_per_dim.mean()) for name, ll in found.items()}


def test_a_run_leaves_what_the_design_says(smoke_run):
    names = {p.name for p in smoke_run.iterdir()}
    assert names == PNGS | {
        ".lock",
        "config.json",
        "data.json",
        "metrics.jsonl",
        "events.jsonl",
        "checkpoints",
        "results.json",
        "likelihoods.npz",
    }
    for name in PNGS:
        assert (smoke_run / name).read_bytes().startswith(b"\x89PNG\r\n")
    lines = (smoke_run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["step"] for r in records] == [2, 4]
    assert all(np.isfinite(r["bits_per_dim"]) for r in records)
    checkpoints = smoke_run / "checkpoints"
    assert {p.name for p in checkpoints.iterdir() if p.is_dir()} == {"2", "4"}


def test_results_are_consistent(smoke_run):
    results = read_results(smoke_run)
    assert set(results) >= KEYS
    assert results["in_distribution"] == "fashion_mnist"
    data = {role: (s["name"], s["count"]) for role, s in results["data"].items()}
    assert data == {
        "train": ("fashion_mnist", 256),
        "test": ("fashion_mnist", 64),
        "mnist": ("mnist", 64),
    }
    assert all(s["source"] == "embedded" for s in results["data"].values())
    bits = read_bits(smoke_run)
    assert {name: len(b) for name, b in bits.items()} == {
        "fashion_mnist": 64,
        "mnist": 64,
    }
    for name, values in bits.items():
        assert results["bits_per_dim"][name] == pytest.approx(values.mean(), rel=1e-9)
        median = results["bits_per_dim_median"][name]
        assert median == pytest.approx(np.median(values), rel=1e-9)
    label = np.repeat([1, 0], 64)
    score = -np.concatenate([bits["fashion_mnist"], bits["mnist"]])
    area = roc_auc_score(label, score)
    assert results["auroc"] == {"mnist": pytest.approx(area, rel=1e-9)}
    low, high = results["auroc_ci95"]["mnist"]
    assert 0 <= low <= area <= high <= 1
    assert (results["steps"], results["images_seen"]) == (4, 64)
    assert results["train_seconds"] > 0
    assert results["images_per_second"] > 0
    assert results["eval"] == read_config(smoke_run).eval.to_dict()


@pytest.mark.thorough
def test_batch_norm_reports_running_and_recomputed_statistics(smoke_run):
    results = read_results(smoke_run)
    running = results["running_statistics"]
    assert set(running) >= {"bits_per_dim", "bits_per_dim_median", "auroc"}
    # after four steps the running averages are far from the data
    assert running["bits_per_dim"] != results["bits_per_dim"]
    trained = TrainedFlow.restore(smoke_run)
    assert trained.run.state.batch_stats
    sizes = [np.size(p) for p in jax.tree.leaves(trained.run.state.params)]
    assert results["params"] == sum(sizes)
    assert mean_bits(trained, trained.run.state.variables()) == pytest.approx(
        running["bits_per_dim"], rel=1e-6
    )


@pytest.mark.thorough
def test_evaluate_alone_finds_the_same(smoke_copy):
    expected = read_results(smoke_copy)
    kept = {"config.json", "metrics.jsonl"}
    before = snapshot(smoke_copy)
    for name in PNGS | {"results.json", "likelihoods.npz"}:
        (smoke_copy / name).unlink()
    assert run(["evaluate", f"--workdir={smoke_copy}"]) == 0
    assert read_results(smoke_copy) == expected
    after = snapshot(smoke_copy)
    assert set(after) == set(before)
    untouched = [n for n in before if n in kept or n.startswith("checkpoints/")]
    assert {n: after[n] for n in untouched} == {n: before[n] for n in untouched}


@pytest.mark.thorough
def test_training_again_does_nothing_new(tiny_copy, capsys):
    before = snapshot(tiny_copy)
    average = "--config.optimizer.ema_decay=0.5"
    assert run(["train", *TINY, average, f"--workdir={tiny_copy}"]) == 0
    assert "trained to step 4" in capsys.readouterr().out
    after = snapshot(tiny_copy)
    assert set(after) == set(before)
    # figures are drawn anew; events are a history; the lock names its last holder
    anew = (".png", ".npz", "events.jsonl", ".lock")
    same = [n for n in before if not n.endswith(anew)]
    assert {n: after[n] for n in same} == {n: before[n] for n in same}


def test_without_batch_norm_there_is_one_kind_of_statistics(tiny_run):
    assert "running_statistics" not in read_results(tiny_run)


def test_averaged_parameters_are_those_evaluated(tiny_run):
    trained = TrainedFlow.restore(tiny_run)
    results = read_results(tiny_run)
    assert trained.config.optimizer.ema_decay == 0.5
    averaged = mean_bits(trained, {"params": trained.run.state.ema})
    assert averaged == pytest.approx(results["bits_per_dim"], rel=1e-6)
    last = mean_bits(trained, {"params": trained.run.state.params})
    assert last["mnist"] != pytest.approx(averaged["mnist"], rel=1e-6)


@pytest.mark.thorough
def test_evaluate_with_other_ood_sets_and_noise(tiny_copy):
    before = read_results(tiny_copy)
    kept = (tiny_copy / "config.json").read_bytes()
    overrides = (
        "--config.data.ood=mnist:train,mnist:test,fashion_mnist:train",
        "--config.eval.seed=5",
        "--config.eval.samples=0",
        "--config.data.limit_test=15",
    )
    (tiny_copy / "samples.png").unlink()
    assert run(["evaluate", *overrides, f"--workdir={tiny_copy}"]) == 0
    results = read_results(tiny_copy)
    names = {"mnist:train", "mnist:test", "fashion_mnist:train"}
    assert set(results["auroc"]) == names
    assert set(results["bits_per_dim"]) == names | {"fashion_mnist"}
    assert results["data"]["mnist:train"]["split"] == "train"
    assert {len(b) for b in read_bits(tiny_copy).values()} == {15}
    # what was changed is on record here; the run's config stays
    assert results["eval"]["seed"] == 5
    assert (tiny_copy / "config.json").read_bytes() == kept
    assert not (tiny_copy / "samples.png").exists()
    assert results["bits_per_dim"]["fashion_mnist"] != pytest.approx(
        before["bits_per_dim"]["fashion_mnist"], rel=1e-9
    )


@pytest.mark.thorough
def test_draws_are_the_noise_of_the_seeds_that_follow(tiny_copy):
    # a set that is close: its order among the test images depends on the noise
    command = ["evaluate", f"--workdir={tiny_copy}", "--config.eval.samples=0"]
    command.append("--config.data.ood=fashion_mnist:train")
    values = []
    for seed in (1, 2):
        assert run([*command, f"--config.eval.seed={seed}"]) == 0
        found = read_results(tiny_copy)
        assert "auroc_per_draw" not in found
        values.append(found["auroc"]["fashion_mnist:train"])
    assert values[0] != values[1]
    assert run([*command, "--config.eval.draws=2"]) == 0
    found = read_results(tiny_copy)
    assert found["auroc_per_draw"] == {"fashion_mnist:train": values}
    mean = found["auroc"]["fashion_mnist:train"]
    assert mean == pytest.approx(np.mean(values), rel=1e-12)
    assert found["eval"]["draws"] == 2


@pytest.mark.thorough
def test_results_do_not_depend_on_the_evaluation_batch(tiny_copy):
    before = read_bits(tiny_copy)
    overrides = ("--config.eval.batch_size=7", "--config.eval.samples=0")
    assert run(["evaluate", *overrides, f"--workdir={tiny_copy}"]) == 0
    after = read_bits(tiny_copy)
    assert set(after) == set(before)
    for name, bits in before.items():
        np.testing.assert_allclose(after[name], bits, rtol=1e-5)


def test_one_step_has_no_rate(tiny_run, monkeypatch, capsys):
    # compilation is not timed, and one step is compilation
    trained = TrainedFlow.restore(tiny_run)
    run = dataclasses.replace(trained.run, seconds=0.0, images=0)
    one = dataclasses.replace(trained, run=run)
    assert evaluation.evaluate(one).results["images_per_second"] is None
    monkeypatch.setattr(train, "train", lambda *args, **kwargs: one)
    monkeypatch.setattr(run_outputs, "main", lambda *args: None)
    train.main(trained.config, tiny_run)
    assert "trained to step 4\n" in capsys.readouterr().out


def test_a_run_has_a_name_wherever_it_is_called_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_name(Path(".")) == tmp_path.name
    assert run_name(Path("runs/a/")) == "a"

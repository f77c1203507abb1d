"""Flows on vectors by the same commands as on images: `train` and `evaluate`."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.cli import run
from experiments.core import build
from experiments.core.config import load_config
from experiments.core.run_config import read_config
from experiments.core.sets import load_sets
from flowjax_ood.data.standardize import Standardizer
from flowjax_ood.interface.errors import UserError
from tests.helpers.experiment_runs import CONFIGS, only_error, read_results

SMOKE = f"--config={CONFIGS / 'hepmass.py'}:smoke"


@pytest.fixture(scope="module")
def vector_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "vectors"
    assert run(["train", SMOKE, f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def vector_copy(vector_run, tmp_path):
    return shutil.copytree(vector_run, tmp_path / "vectors")


def read_nats(workdir) -> dict[str, np.ndarray]:
    with np.load(workdir / "likelihoods.npz") as arrays:
        names = {key.rpartition("/")[0] for key in arrays}
        return {
            n: arrays[f"{n}/log_pz"].astype(np.float64) + arrays[f"{n}/logdet"]
            for n in names
        }


def load(*overrides, config=f"{CONFIGS / 'hepmass.py'}:smoke"):
    return load_config(config, overrides)


def sets_error(*overrides, config=f"{CONFIGS / 'hepmass.py'}:smoke") -> str:
    with pytest.raises(UserError) as caught:
        load_sets(load(*overrides, config=config))
    return str(caught.value)


@pytest.mark.thorough
def test_a_run_that_stops_in_time_is_evaluated_and_goes_on(
    vector_run, tmp_path, capsys
):
    command = ["train", SMOKE, f"--workdir={tmp_path}"]
    assert run([*command, "--config.train.max_seconds=0.001"]) == 0
    assert (
        "train.max_seconds=0.001 are over: the same command" in capsys.readouterr()[0]
    )

    def saved(workdir):
        return max(int(p.name) for p in (workdir / "checkpoints").iterdir())

    assert saved(tmp_path) < saved(vector_run)
    assert read_results(tmp_path)["steps"] <= saved(tmp_path)
    assert run(command) == 0
    assert saved(tmp_path) == saved(vector_run)
    found, expected = read_nats(tmp_path), read_nats(vector_run)
    for name, nats in expected.items():
        np.testing.assert_array_equal(found[name], nats)


def test_a_run_leaves_what_one_of_images_does(vector_run):
    assert {p.name for p in vector_run.iterdir()} == {
        ".lock",
        "best",
        "checkpoints",
        "config.json",
        "data.json",
        "events.jsonl",
        "likelihood_terms.png",
        "likelihoods.npz",
        "likelihoods.png",
        "metrics.jsonl",
        "results.json",
        "standardization.npz",
    }
    lines = (vector_run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["step"] for r in records] == [2, 4]
    for record in records:
        assert {"loss", "log_pz", "logdet", "validation"} <= set(record)
        assert not {"bits_per_dim", "bits_per_dim_prior"} & set(record)
        total = record["log_pz"] + record["logdet"]
        assert record["loss"] == pytest.approx(-total, rel=1e-5)


@pytest.mark.parametrize("command", ["inspect", "precision"])
def test_commands_on_images_refuse_vectors(vector_run, capsys, command):
    assert run([command, f"--workdir={vector_run}"]) == 2
    assert "this run's flow is of vectors" in only_error(capsys.readouterr().err)


def test_results_are_in_nats_of_both_vectors(vector_run):
    results, nats = read_results(vector_run), read_nats(vector_run)
    assert "bits_per_dim" not in results
    assert results["in_distribution"] == "hepmass1"
    assert set(nats) == set(results["nats"]) == {"hepmass1", "hepmass0"}
    shift = results["standardization"]["log_abs_det"]
    for name, values in nats.items():
        assert results["nats"][name] == pytest.approx(values.mean(), rel=1e-9)
        median = results["nats_median"][name]
        assert median == pytest.approx(np.median(values), rel=1e-9)
        raw = results["nats_raw"][name]
        assert raw == pytest.approx(values.mean() + shift, rel=1e-9)
        parts = results["log_pz_nats"][name] + results["logdet_nats"][name]
        assert parts == pytest.approx(values.mean(), rel=1e-5)
        low, high = results["logdet_nats_range"][name]
        assert low <= results["logdet_nats"][name] <= high
    label = np.repeat([1, 0], [len(nats["hepmass1"]), len(nats["hepmass0"])])
    score = np.concatenate([nats["hepmass1"], nats["hepmass0"]])
    area = roc_auc_score(label, score)
    assert results["auroc"] == {"hepmass0": pytest.approx(area, rel=1e-9)}
    low, high = results["auroc_ci95"]["hepmass0"]
    assert low <= area <= high


def test_the_log_determinant_is_within_its_bound(vector_run):
    bound = 2 * 8 * 2.0  # couplings, the larger half of 15, max_log_scale
    for low, high in read_results(vector_run)["logdet_nats_range"].values():
        assert -bound <= low <= high <= bound


def test_the_raw_density_is_that_of_the_raw_vector(vector_run):
    """By the change of variables, through the kept standardisation."""
    config = read_config(vector_run)
    sets = load_sets(config, vector_run)
    kept = Standardizer.load(vector_run / "standardization.npz")
    x = sets.test.vectors[:1].astype(np.float64)

    def transform(at):
        return (at[:, kept.kept] - kept.mean) / kept.std

    step = 1e-3
    columns = [
        (transform(x + step * e) - transform(x - step * e))[0] / (2 * step)
        for e in np.eye(x.shape[1])
    ]
    _, expected = np.linalg.slogdet(np.stack(columns))
    assert kept.log_abs_det == pytest.approx(expected, rel=1e-6)


def test_the_training_part_alone_is_trained_on_and_standardised_by(vector_run):
    results = read_results(vector_run)
    counts = {role: s["count"] for role, s in results["data"].items()}
    # 10 % of 256 vectors are held back
    assert counts == {"train": 230, "validation": 26, "test": 64, "hepmass0": 64}
    assert all(s["source"] == "synthetic" for s in results["data"].values())
    sets = load_sets(read_config(vector_run))
    both = np.concatenate([sets.train.vectors, sets.validation.vectors])
    assert len(np.unique(both, axis=0)) == 256
    np.testing.assert_allclose(sets.inputs(sets.train).mean(0), 0, atol=1e-5)
    assert np.abs(sets.inputs(sets.validation).mean(0)).max() > 1e-3
    assert json.loads((vector_run / "data.json").read_text())["shape"] == [230, 15]


def test_the_best_of_the_validation_set_is_evaluated(vector_run):
    results = read_results(vector_run)
    lines = (vector_run / "metrics.jsonl").read_text().splitlines()
    scores = {r["step"]: r["validation"] for r in map(json.loads, lines)}
    best = max(scores, key=scores.get)
    assert results["steps"] == results["validation"]["step"] == best
    assert results["validation"]["score"] == scores[best]
    assert results["validation"]["statistic"] == "mean"


def test_detectors_without_a_flow_are_measured_on_the_same_vectors(vector_run):
    from flowjax_ood import ood

    found = read_results(vector_run)["baselines"]
    assert set(found) == {
        "mahalanobis",
        "mahalanobis_classes",
        "nearest_neighbors",
        "nearest_neighbors_unit",
    }
    sets = load_sets(read_config(vector_run))
    train, id_x, ood_x = map(sets.inputs, (sets.train, sets.test, sets.ood["hepmass0"]))
    detector = ood.Mahalanobis.fit(train)
    area = ood.auroc(
        np.asarray(detector.score(id_x)), np.asarray(detector.score(ood_x))
    )
    assert found["mahalanobis"]["auroc"]["hepmass0"] == pytest.approx(area.value)
    assert found["mahalanobis"]["fitted_on"] == 230
    assert found["mahalanobis_classes"]["classes"] == 4
    assert found["nearest_neighbors"]["k"] == 3


def test_evaluate_alone_finds_the_same(vector_copy):
    expected = read_results(vector_copy)
    for name in ("results.json", "likelihoods.npz"):
        (vector_copy / name).unlink()
    assert run(["evaluate", f"--workdir={vector_copy}"]) == 0
    assert read_results(vector_copy) == expected


def test_evaluate_uses_the_kept_standardisation(vector_copy):
    kept = Standardizer.load(vector_copy / "standardization.npz")
    config = read_config(vector_copy)
    moved = Standardizer(kept.dims, kept.kept, kept.mean + 1, kept.std)
    moved.save(vector_copy / "standardization.npz")
    sets = load_sets(config, vector_copy)
    np.testing.assert_array_equal(sets.standardizer.mean, moved.mean)
    np.testing.assert_array_equal(load_sets(config).standardizer.mean, kept.mean)


def test_other_vectors_are_refused(vector_copy, capsys):
    source = "--config.data.train=hepmass0:train"
    capsys.readouterr()
    assert run(["train", SMOKE, source, f"--workdir={vector_copy}"]) == 2
    assert "belongs to another config" in only_error(capsys.readouterr().err)
    # the same config, other values
    file = vector_copy / "data.json"
    file.write_text(file.read_text().replace("230", "231"))
    assert run(["evaluate", f"--workdir={vector_copy}"]) == 2
    said = only_error(capsys.readouterr().err)
    assert "the training vectors are not those" in said
    assert "or other values" in said


def test_the_table_is_in_nats(vector_copy, capsys):
    results = read_results(vector_copy)
    from experiments.core.run_outputs import print_table

    print_table({"flow": results})
    shown = capsys.readouterr().out
    rows = [
        [c.strip() for c in line.strip("│").split("│")]
        for line in shown.splitlines()
        if line.startswith("│")
    ]
    assert "nats" in shown
    assert "bits/dim" not in shown
    assert [row[:2] for row in rows[:2]] == [["flow", "hepmass1"], ["flow", "hepmass0"]]
    assert rows[1][4] == f"{results['auroc']['hepmass0']:.3f}"
    area = results["baselines"]["nearest_neighbors_unit"]["auroc"]["hepmass0"]
    assert rows[-1][0].startswith("nearest_neigh")
    assert rows[-1][4] == f"{area:.3f}"


@pytest.mark.thorough
def test_pca_has_no_density_of_the_raw_vector(tmp_path):
    changed = ("--config.data.pca=4", "--config.eval.baselines=")
    assert run(["train", SMOKE, *changed, f"--workdir={tmp_path}"]) == 0
    results = read_results(tmp_path)
    assert results["nats_raw"] == {"hepmass1": None, "hepmass0": None}
    assert results["standardization"]["dims"] == 4
    assert 0 < results["standardization"]["explained_variance"] < 1
    assert results["baselines"] == {}


def test_without_validation_the_last_state_is_evaluated(tmp_path):
    changed = ("--config.data.validation=0", "--config.eval.baselines=")
    assert run(["train", SMOKE, *changed, f"--workdir={tmp_path}"]) == 0
    results = read_results(tmp_path)
    assert results["steps"] == 4
    assert "validation" not in results
    assert not (tmp_path / "best").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.image_size=8",), "config.data.image_size acts on images"),
        (("eval.samples=4",), "set it to 0"),
        (("eval.draws=2",), "set it to 1"),
        (("data.validation=1.0",), "at least 0 and below 1, got 1.0"),
        (("data.validation=0.001",), "leaves 0 of 256 training vectors"),
        (("data.constant=keep",), "unknown 'keep'"),
        (("data.pca=16",), "span 15 dimensions"),
        (("data.ood=miniboone0:test",), "has vectors of 50 features, the training"),
        (("data.source=idx",), "'idx' is not a source of vectors"),
        (("data.source=uci",), "needs path=, the directory of the published files"),
        (("train.validate_by=mode",), "unknown 'mode'; known: mean, median"),
        (("train.patience=-1",), "config.train.patience must be at least 0"),
        (("eval.baselines=mahalanobis,knn",), "unknown 'knn'; known: mahalanobis"),
    ],
)
def test_configs_that_cannot_be_are_refused_with_the_remedy(overrides, said):
    assert said in sets_error(*overrides)


def test_the_model_on_a_config_of_images_is_refused():
    config = f"{CONFIGS / 'demo.py'}:smoke"
    said = sets_error("model.name=tabular_real_nvp", config=config)
    assert "data.constant" in said
    assert "tabular_sklearn.py" in said


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_score_is_the_statistic_asked_for(statistic):
    config = load(f"train.validate_by={statistic}")
    sets = load_sets(config)
    parts = build.training(config, sets)
    variables = parts.initial().variables()
    flow, events = build.flow(config, (15,)), sets.inputs(sets.validation)
    nats = np.asarray(flow.apply(variables, events))
    expected = getattr(np, statistic)(nats)
    assert parts.validate.score(variables) == pytest.approx(expected, rel=1e-5)


def test_a_validation_never_reached_is_refused(tmp_path, capsys):
    late = "--config.train.validate_every=5"
    assert run(["train", SMOKE, late, f"--workdir={tmp_path / 'a'}"]) == 2
    said = only_error(capsys.readouterr().err)
    assert "validate_every=5 is never reached in 4 steps" in said
    assert not (tmp_path / "a").exists()

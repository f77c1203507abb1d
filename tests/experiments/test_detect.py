"""The command `detect`: its table, its checks, and a whole run."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments import detect, detect_table, detectors
from experiments.__main__ import run
from experiments.config import UserError, load_config
from experiments.sets import load_sets
from flowjax_ood.ood.detector import Requires

CONFIG = "experiments/configs/fashion_mnist_detect.py"


@pytest.fixture(scope="module")
def smoke():
    config = load_config(f"{CONFIG}:smoke")
    return config, load_sets(config)


def changed(config: ConfigDict, **keys) -> ConfigDict:
    config = ConfigDict(config.to_dict())
    config.detect.update(keys)
    return config


def test_measures_in_both_conventions():
    scores = {"id": np.array([0.9, 0.8, 0.4]), "ood": np.array([0.7, 0.3])}
    found = detect_table.measures(scores, "id")
    assert found["auroc"]["ood"] == pytest.approx(5 / 6)
    assert found["auprc"]["ood"] == pytest.approx(0.569444, abs=1e-6)
    assert found["fpr80"]["ood"] == pytest.approx(0.5)
    # all of the OOD below 0.7 or at it: one of three ID images is rejected
    assert found["fpr95_ood_positive"]["ood"] == pytest.approx(1 / 3)
    low, high = found["auroc_ci95"]["ood"]
    assert low < 5 / 6 < high


def test_a_row_has_means_spread_and_needs():
    rng = np.random.default_rng(0)
    runs = []
    for shift in (1.0, 1.1, 1.2):
        scores = {"id": rng.normal(shift, 1, 200), "a": rng.normal(0, 1, 200)}
        runs.append(
            detect_table.measures(scores, "id")
            | {
                "chosen": {},
                "fit_seconds": 0.1,
                "ms_per_image": 0.2,
                "requires": Requires(train_data=True, labels=True),
            }
        )
    row = detect_table.row("x", "none", runs)
    values = [r["auroc"]["a"] for r in runs]
    assert row["auroc_mean"]["a"] == pytest.approx(np.mean(values))
    assert row["auroc_std"]["a"] == pytest.approx(np.std(values, ddof=1))
    assert row["needs"] == ["training data", "labels"]
    alone = detect_table.row("y", "none", runs[:1])
    assert alone["auroc_std"]["a"] is None
    text = detect_table.markdown(
        {"rows": detect_table.ranked([alone, row]), "evaluated": {"id": 200, "a": 200}},
        "id",
    )
    assert text.index("| x |") < text.index("| y |")
    assert f"{100 * row['auroc_mean']['a']:.1f} ± " in text


def test_protocols_take_apart_what_they_test_on(smoke):
    config, sets = smoke
    tests = detectors.evaluated(sets, config)
    assert {name: len(x) for name, x in tests.items()} == {
        "fashion_mnist": 64,
        "mnist": 64,
    }
    labels = sets.train.labels
    for protocol in (detectors.REPOSITORY, detectors.LEAK_FREE):
        given = detectors.given(sets, config, protocol, None, "mnist")
        assert len(given.id_validation) == len(given.ood_validation) == 64
        np.testing.assert_array_equal(given.labels, labels)
        tested = {x.tobytes() for x in tests["fashion_mnist"]}
        tested |= {x.tobytes() for x in tests["mnist"]}
        seen = [*given.id_validation, *given.ood_validation]
        assert not any(x.tobytes() in tested for x in seen)
    digits = {x.tobytes() for x in sets.ood["mnist"].images}
    # the last one, leak-free: no digit was looked at
    assert not any(x.tobytes() in digits for x in given.ood_validation)


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"validation": 128}, "detect.validation takes 128 images"),
        ({"detectors": ("MPS",)}, "unknown 'MPS'; known: .*MSP"),
    ],
)
def test_what_cannot_be_detected_is_said_first(smoke, keys, match):
    config, sets = smoke
    with pytest.raises(UserError, match=match):
        detect.check(changed(config, **keys), sets)


def test_a_config_of_a_flow_is_refused(tmp_path):
    config = load_config("experiments/configs/fashion_mnist_realnvp.py:smoke")
    with pytest.raises(UserError, match="use the command `train`"):
        detect.main(config, tmp_path)


def test_train_refuses_a_config_of_classifiers(tmp_path, capsys):
    arguments = ["train", f"--config={CONFIG}:smoke", f"--workdir={tmp_path / 'w'}"]
    assert run(arguments) == 2
    assert "use the command `detect`" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_whole_run_and_one_that_goes_on(tmp_path, capsys):
    arguments = [
        "detect",
        f"--config={CONFIG}:smoke",
        f"--workdir={tmp_path}",
    ]
    assert run(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    names = {(r["name"], r["protocol"]) for r in results["rows"]}
    assert {("FSSD", "repository"), ("FSSD", "leak_free"), ("MSP", "none")} <= names
    assert len(results["rows"]) == 35
    for row in results["rows"]:
        assert 0 <= row["auroc_mean"]["mnist"] <= 1
    assert (tmp_path / "scores.png").stat().st_size > 10_000
    assert (tmp_path / "fssd_layers.png").stat().st_size > 10_000
    capsys.readouterr()
    # again, with the networks as they are
    few = "--config.detect.detectors=MSP,KNN"
    assert run([*arguments, few]) == 0
    again = json.loads((tmp_path / "results.json").read_text())
    before = {r["name"]: r["auroc_per_network"] for r in results["rows"]}
    assert {r["name"] for r in again["rows"]} == {"MSP", "KNN"}
    for row in again["rows"]:
        assert row["auroc_per_network"] == before[row["name"]]

"""The command `detect`: its table, its protocols, and what it refuses."""

import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.cli import run
from experiments.core.config import load_config
from experiments.core.score_cache import Scored
from experiments.core.sets import load_sets
from experiments.detect import command as detect
from experiments.detect import detectors, table
from experiments.detect.table import TABLE, comparable, published
from flowjax_ood.interface.errors import UserError
from flowjax_ood.ood.given import Requires

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
    found = table.measures(scores, "id")
    assert found["auroc"]["ood"] == pytest.approx(5 / 6)
    assert found["auprc"]["ood"] == pytest.approx(0.569444, abs=1e-6)
    assert found["fpr80"]["ood"] == pytest.approx(0.5)
    # all of the OOD below 0.7 or at it: one of three ID images is rejected
    assert found["fpr95_ood_positive"]["ood"] == pytest.approx(1 / 3)
    # from (0, 1) on: recall, precision are (1/3, 1), (2/3, 1), (2/3, 2/3), (1, 3/4)
    assert found["auprc_anchored"]["ood"] == pytest.approx(2 / 3 + 17 / 72)
    # (1/2, 1), (1/2, 1/2), (1, 2/3)
    anchored = found["auprc_anchored_ood_positive"]["ood"]
    assert anchored == pytest.approx(1 / 2 + 7 / 24)
    assert set(found) == {*table.METRICS, "auroc_ci95"}
    low, high = found["auroc_ci95"]["ood"]
    assert low < 5 / 6 < high


def test_a_row_has_means_spread_and_needs():
    rng = np.random.default_rng(0)
    runs = []
    for shift in (1.0, 1.1, 1.2):
        scores = {
            "id": rng.normal(shift, 1, 200),
            "a": rng.normal(0, 1, 200),
            # scored, but of another table
            "id fog 1": rng.normal(0, 1, 200),
        }
        runs.append([Scored(scores, ["labels"], {"k": shift}, 0.1, 0.2)])
    row = table.row("x", "none", runs, ["id", "a"])
    values = [
        table.measures({n: one.scores[n] for n in ("id", "a")}, "id")["auroc"]["a"]
        for (one,) in runs
    ]
    assert row["auroc_per_network"] == {"a": values}
    assert row["auroc_mean"]["a"] == pytest.approx(np.mean(values))
    assert row["auroc_std"]["a"] == pytest.approx(np.std(values, ddof=1))
    assert [c["k"] for c in row["chosen"]] == [1.0, 1.1, 1.2]
    alone = table.row("y", "none", runs[:1], ["id", "a"])
    assert alone["auroc_std"]["a"] is None
    text = table.markdown(
        {
            "rows": table.ranked([alone, row]),
            "evaluated": {"id": 200, "a": 200},
            "networks": [{}] * 3,
        },
        "id",
    )
    assert text.index("| x |") < text.index("| y |")
    assert f"{100 * row['auroc_mean']['a']:.1f} ± " in text
    assert "ublished" not in text


def test_scores_of_one_set_each_make_one_row():
    own = np.arange(10.0)
    runs = [
        [
            Scored({"id": own + 5, "a": own}, [], {}, 0.0, 1.0),
            Scored({"id": own - 5, "b": own}, [], {}, 0.0, 3.0),
        ]
    ]
    row = table.row("x", "repository", runs, ["id", "a", "b"])
    assert row["auroc_mean"]["a"] == pytest.approx(1 - row["auroc_mean"]["b"])
    assert row["ms_per_image"] == 2.0


def test_needs_are_in_words():
    requires = Requires(train_data=True, labels=True, ood_validation=True)
    assert table.needs(requires) == ["training data", "labels"]
    assert table.needs(Requires()) == []


def test_published_numbers_stand_beside_their_own_protocol_alone():
    def of(name, protocol, ood_name="mnist"):
        row = {"name": name, "protocol": protocol}
        return published("fashion_mnist", ood_name, row)

    assert of("FSSD", "repository").text() == "99.6/99.7/0.0"
    both = "96.9/93.0/2.5 or 87.9/88.0/20.0"
    assert of("ODIN", "repository").text() == both
    assert of("MSP", "none").slides[0] == 77.3
    assert of("FSSD", "leak_free") is None
    assert of("KNN", "none") is None
    assert of("MSP", "none", "notmnist") is None


def test_published_rows_are_rows(smoke):
    config, _ = smoke
    found = (*detectors.plain(config, ("a",), 1), *detectors.chosen(config, 1))
    names = {d.name for d in found}
    names |= {"Deep Ensembles (mean max)", "Outlier Exposure"}
    assert {name for rows in TABLE.values() for name in rows} <= names
    assert {name for name, _ in detectors.SEVERITY} <= names


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("detect.networks=1", True),
        ("data.source=synthetic", False),
        ("data.ood_source=embedded", False),
        ("data.limit_test=500", False),
        ("detect.validation=200", False),
    ],
)
def test_only_the_whole_experiment_is_compared_with_the_published(override, expected):
    assert comparable(load_config(CONFIG, [override])) == expected


def test_protocols_take_apart_what_they_test_on(smoke):
    config, sets = smoke
    tests = detectors.evaluated(sets, config)
    assert {name: len(x) for name, x in tests.items()} == {
        "fashion_mnist": 64,
        "mnist": 64,
    }
    labels = sets.train.labels
    tested = {x.tobytes() for x in tests["fashion_mnist"]}
    tested |= {x.tobytes() for x in tests["mnist"]}
    for protocol in (detectors.REPOSITORY, detectors.LEAK_FREE):
        given = detectors.given(sets, config, protocol, None, "mnist")
        assert len(given.id_validation) == len(given.ood_validation) == 64
        np.testing.assert_array_equal(given.labels, labels)
        seen = [*given.id_validation, *given.ood_validation]
        assert not any(x.tobytes() in tested for x in seen)
        own = {x.tobytes() for x in sets.test.images}
        assert all(x.tobytes() in own for x in given.id_validation)
        digits = {x.tobytes() for x in sets.ood["mnist"].images}
        real = [x.tobytes() in digits for x in given.ood_validation]
        assert all(real) if protocol == detectors.REPOSITORY else not any(real)


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"detectors": ("MPS",)}, "there is no 'MPS' in this config; known: .*MSP"),
        ({"detectors": ("Deep Ensembles",), "networks": 1}, "no 'Deep Ensembles'"),
        ({"detectors": ("Coherence",), "networks": 1}, "no 'Coherence'"),
    ],
)
def test_what_cannot_be_detected_is_said_first(smoke, keys, match):
    config, _ = smoke
    with pytest.raises(UserError, match=match):
        detect.check_names(changed(config, **keys))


def test_what_needs_scikit_learn_is_said_first(smoke, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for names in (("GMM", "MSP"), ("FSSD", "GMM"), ()):
        said = "GMM.* need scikit-learn: pip install .*detect"
        with pytest.raises(UserError, match=said) as error:
            detect.check_names(changed(smoke[0], detectors=names))
        assert ("FSSD" in str(error.value)) == (names != ("GMM", "MSP"))
        assert "MSP" not in str(error.value)
    detect.check_names(changed(smoke[0], detectors=("MSP", "ODIN", "KNN")))


def test_rows_of_images_alone(smoke):
    """Those that choose are there under both protocols; what drops out, in all ways."""
    config = changed(smoke[0], dropout_passes=2)
    chosen = {d.name for d in detectors.chosen(config, 1)}
    assert {"AdaSCALE-A", "AdaSCALE-L"} < chosen
    plain = {d.name: d for d in detectors.plain(config, ("a",), 1)}
    assert {n: plain[f"MC Dropout ({n})"].scoring for n in DROPOUT} == DROPOUT
    config = changed(config, perturb=False)
    assert "AdaSCALE-A" not in {d.name for d in detectors.chosen(config, 1)}


DROPOUT = {
    **{"mean": "mu", "variance": "var"},
    **{"mean logits": "logits", "softmax variance": "softmax_var"},
}


def test_sets_that_are_too_small_are_refused(smoke):
    config, sets = smoke
    with pytest.raises(UserError, match=r"detect\.validation takes 128 images"):
        detect.check(changed(config, validation=128), sets)


def test_a_config_of_a_flow_is_refused(tmp_path):
    config = load_config("experiments/configs/fashion_mnist_realnvp.py:smoke")
    with pytest.raises(UserError, match="use the command `train`"):
        detect.main(config, tmp_path)


def test_train_refuses_a_config_of_classifiers(tmp_path, capsys):
    arguments = ["train", f"--config={CONFIG}:smoke", f"--workdir={tmp_path / 'w'}"]
    assert run(arguments) == 2
    assert "use the command `detect`" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()

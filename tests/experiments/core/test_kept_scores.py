"""Scores that `detect` kept: found by the names of its table, whoever made them."""

import re

import numpy as np
import pytest

from experiments.core.kept_scores import read_scores
from experiments.core.score_cache import PREDICTED, TRUE
from flowjax_ood.interface.errors import UserError
from tests.helpers.detect_scores import CLOTHING, DIGITS, TRAINING, finish, keep

SETS = {CLOTHING: 3, DIGITS: 2, TRAINING: 4}


def scores(first: float) -> dict:
    return {n: first + np.arange(k) for n, k in SETS.items()}


@pytest.fixture
def run(tmp_path):
    """Two networks, an ensemble and a flow; 10 comes after 9, not after 1."""
    at = tmp_path / "scores"
    for seed in (9, 10):
        keep(at / f"seed_{seed}", "KNN none", scores(seed))
        keep(at / f"seed_{seed}", "KNN leak_free", scores(seed + 0.5))
        keep(at / f"seed_{seed}", "KNN repository of digits", scores(77))
    fog = {"fog 1": np.ones(2), "fog 5": np.ones(2)}
    keep(at / "seed_9", "MSP none", scores(1) | fog)
    keep(at / "seed_9", PREDICTED, {CLOTHING: [0, 1, 2], DIGITS: [1, 1]})
    keep(at / "seed_9", TRUE, {CLOTHING: [0, 1, 1]})
    keep(at, "Deep Ensembles (mean max)", scores(3))
    keep(at / "flow_0", "flow: log p(x)", scores(4))
    protocols = ("none", "leak_free", "repository")
    rows = [("KNN", protocol) for protocol in protocols]
    rows += [(n, "none") for n in ("MSP", "Deep Ensembles (mean max)")]
    rows += [("flow: log p(x)", "none"), ("Gone", "none")]
    finish(tmp_path, rows, SETS, TRAINING)
    return tmp_path


def test_every_row_has_its_file(run):
    kept = read_scores(run)
    first = {name: of[CLOTHING][0] for name, of in kept.detectors.items()}
    assert first == {
        "KNN": 9,
        "KNN (made outliers)": 9.5,
        "MSP": 1,
        "Deep Ensembles (mean max)": 3,
        "flow: log p(x)": 4,
    }
    assert (kept.id_name, kept.outliers, kept.training) == (
        CLOTHING,
        (DIGITS,),
        TRAINING,
    )
    assert (kept.network, kept.size) == ("seed_9", 3)
    assert kept.corrupted("MSP") == ["fog 1", "fog 5"]
    assert kept.corrupted("KNN") == []
    np.testing.assert_array_equal(kept.labels, [0, 1, 1])
    np.testing.assert_array_equal(kept.predicted[CLOTHING], [0, 1, 2])


def test_of_another_network(run):
    kept = read_scores(run, "seed_10")
    assert kept.detectors["KNN"][CLOTHING][0] == 10
    assert kept.detectors["flow: log p(x)"][CLOTHING][0] == 4
    # not of another network under its name
    assert "MSP" not in kept.detectors
    assert (kept.network, kept.labels, kept.predicted) == ("seed_10", None, {})
    with pytest.raises(UserError, match=r"no folder of .*flow_0, seed_9, seed_10"):
        read_scores(run, "seed_1")


def test_what_is_not_there(run, tmp_path):
    with pytest.raises(UserError, match=r"results.json is missing; run .* detect"):
        read_scores(tmp_path / "empty")
    for file in (run / "scores").rglob("*.npz"):
        file.unlink()
    with pytest.raises(UserError, match=r"holds no scores of .*; run .* detect"):
        read_scores(run)


def test_what_is_damaged(run):
    file = run / "scores" / "seed_9" / "knn_none.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    with pytest.raises(UserError, match=re.escape(str(file))):
        read_scores(run)
    file.unlink()
    keep(file.parent, "KNN none", scores(0) | {CLOTHING: [1.0, np.nan, 2.0]})
    with pytest.raises(UserError, match="NaN"):
        read_scores(run)
    file.unlink()
    keep(file.parent, "KNN none", scores(0) | {CLOTHING: [1.0, 2.0]})
    with pytest.raises(UserError, match=r"differ in number: KNN has 2, .* 3"):
        read_scores(run)

"""Numbers of results.json, from likelihoods made up here."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from experiments.core.results import (
    likelihood_results,
    over_draws,
    versions,
    write_json,
)
from experiments.core.run_outputs import print_table
from flowjax_ood.evaluation.likelihood import Likelihoods

DIMS = 12


def made_up(seed: int, count: int, shift: float = 0.0) -> Likelihoods:
    rng = np.random.default_rng(seed)
    log_pz = rng.normal(-20 + shift, 2, count).astype(np.float32)
    return Likelihoods(log_pz, rng.normal(9, 1, count).astype(np.float32), DIMS)


@pytest.fixture
def found():
    return {"id": made_up(0, 60), "a": made_up(1, 40, 2.0), "b": made_up(2, 50, -3.0)}


def test_results_are_those_of_the_likelihoods(found):
    results = likelihood_results(found, "id")
    json.dumps(results, allow_nan=False)
    nats = {n: ll.log_pz.astype(np.float64) + ll.logdet for n, ll in found.items()}
    for name, values in nats.items():
        bits = -(values - DIMS * np.log(256)) / (DIMS * np.log(2))
        assert results["bits_per_dim"][name] == pytest.approx(bits.mean(), rel=1e-12)
        median = results["bits_per_dim_median"][name]
        assert median == pytest.approx(np.median(bits), rel=1e-12)
        # the two terms add up to the whole
        parts = results["log_pz_bits"][name] + results["logdet_bits"][name]
        assert 8 - parts == pytest.approx(bits.mean(), rel=1e-6)
        outliers = np.mean(bits > 1.5 * np.median(bits))
        assert results["outlier_fraction"][name] == pytest.approx(outliers)
        assert results["non_finite"][name] == 0
    for name in ("a", "b"):
        label = np.repeat([1, 0], [60, len(nats[name])])
        score = np.concatenate([nats["id"], nats[name]])
        area = roc_auc_score(label, score)
        assert results["auroc"][name] == pytest.approx(area, rel=1e-12)
        low, high = results["auroc_ci95"][name]
        assert low < area < high
        aupr = average_precision_score(label, score)
        assert results["aupr_id_positive"][name][0] == pytest.approx(aupr, rel=1e-12)
        # the share of OOD images above the threshold that 95% of ID images pass
        threshold = np.sort(nats["id"])[3]
        fpr = np.mean(nats[name] >= threshold)
        assert results["fpr_at_tpr95_id_positive"][name][0] == pytest.approx(fpr)
    # digits more likely than clothing, and the other way round
    assert results["auroc"]["a"] < 0.5 < results["auroc"]["b"]
    assert "id" not in results["auroc"]


def test_auroc_is_the_mean_over_draws_and_all_else_the_firsts(found):
    other = {"id": made_up(7, 60), "a": made_up(8, 40), "b": made_up(9, 50)}
    draws = [likelihood_results(f, "id") for f in (found, other)]
    assert over_draws(draws[:1]) == draws[0]
    results = over_draws(draws)
    json.dumps(results, allow_nan=False)
    for name in ("a", "b"):
        values = [d["auroc"][name] for d in draws]
        assert values[0] != values[1]
        assert results["auroc_per_draw"][name] == values
        assert results["auroc"][name] == pytest.approx(np.mean(values), rel=1e-12)
        for end in (0, 1):
            ends = [d["auroc_ci95"][name][end] for d in draws]
            found_end = results["auroc_ci95"][name][end]
            assert found_end == pytest.approx(np.mean(ends), rel=1e-12)
    changed = {k for k in results if results[k] != draws[0].get(k)}
    assert changed == {"auroc", "auroc_ci95", "auroc_per_draw"}


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_likelihood_that_is_not_finite_is_counted_and_ranked_last(found, broken):
    results = likelihood_results(found, "id")
    found["b"].log_pz[:2] = broken
    spoiled = likelihood_results(found, "id")
    json.dumps(spoiled, allow_nan=False)
    assert spoiled["non_finite"] == {"id": 0, "a": 0, "b": 2}
    assert spoiled["bits_per_dim"]["b"] is None
    assert spoiled["log_pz_bits"]["b"] is None
    assert spoiled["bits_per_dim_median"]["b"] >= results["bits_per_dim_median"]["b"]
    assert spoiled["outlier_fraction"]["b"] >= 2 / 50
    for name in ("id", "a"):
        assert spoiled["bits_per_dim"][name] == results["bits_per_dim"][name]
    assert spoiled["auroc"]["a"] == results["auroc"]["a"]
    scores = {n: ll.log_prob for n, ll in found.items()}
    scores["b"][:2] = -1e9
    label = np.repeat([1, 0], [60, 50])
    area = roc_auc_score(label, np.concatenate([scores["id"], scores["b"]]))
    assert spoiled["auroc"]["b"] == pytest.approx(area, rel=1e-12)


def test_the_table_shows_every_set(found, capsys):
    found["b"].log_pz[0] = np.nan
    results = likelihood_results(found, "id")
    print_table({"flow": results})
    rows = {
        cells[1]: cells
        for line in capsys.readouterr().out.splitlines()
        if len(cells := [c.strip() for c in line.strip("│").split("│")]) == 6
    }
    assert set(rows) == {"id", "a", "b"}
    low, high = results["auroc_ci95"]["a"]
    assert rows["a"][0] == "flow"
    assert rows["a"][2] == f"{results['bits_per_dim']['a']:.3f}"
    assert rows["a"][4:] == [f"{results['auroc']['a']:.3f}", f"{low:.3f}-{high:.3f}"]
    assert rows["b"][2] == "not finite"
    assert rows["id"][4:] == ["", ""]


def test_versions_name_what_computed():
    found = versions()
    assert {"flowjax_ood", "python", "jax", "flax", "numpy", "device"} <= set(found)
    assert found["numpy"] == np.__version__


def test_results_are_replaced_as_a_whole(tmp_path):
    file = tmp_path / "results.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError):
        write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}
    write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]

"""Numbers of vectors in results.json, from likelihoods made up here."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.core.results import vector_results
from flowjax_ood.data.standardize import fit_standardizer
from flowjax_ood.evaluation.likelihood import Likelihoods

DIMS = 4
TRAIN = np.random.default_rng(9).normal(3, 5, (50, DIMS)).astype(np.float32)


def made_up(seed: int, count: int, shift: float = 0.0) -> Likelihoods:
    rng = np.random.default_rng(seed)
    log_pz = rng.normal(-20 + shift, 2, count).astype(np.float32)
    return Likelihoods(log_pz, rng.normal(9, 1, count).astype(np.float32), DIMS)


@pytest.fixture
def found():
    return {"id": made_up(0, 60), "ood": made_up(1, 40, -2.0)}


def test_nats_are_of_both_vectors(found):
    standardizer = fit_standardizer(TRAIN)
    results = vector_results(found, "id", standardizer)
    for name, ll in found.items():
        nats = ll.log_prob
        assert results["nats"][name] == pytest.approx(nats.mean(), rel=1e-12)
        assert results["nats_median"][name] == pytest.approx(np.median(nats), rel=1e-12)
        # log p(x) = log p(z) - sum log std
        raw = nats.mean() - np.log(TRAIN.std(0, dtype=np.float64)).sum()
        assert results["nats_raw"][name] == pytest.approx(raw, rel=1e-6)
        ends = [float(ll.logdet.min()), float(ll.logdet.max())]
        assert results["logdet_nats_range"][name] == ends
        assert results["non_finite"][name] == 0
    label = np.repeat([1, 0], [60, 40])
    score = np.concatenate([found["id"].log_prob, found["ood"].log_prob])
    assert results["auroc"]["ood"] == pytest.approx(roc_auc_score(label, score))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_likelihood_that_is_not_finite_is_counted_and_ranked_last(found, broken):
    found["ood"].log_pz[:3] = broken
    results = vector_results(found, "id", fit_standardizer(TRAIN))
    json.dumps(results, allow_nan=False)
    assert results["non_finite"] == {"id": 0, "ood": 3}
    assert results["nats"]["ood"] is None
    assert results["nats_raw"]["ood"] is None
    assert results["nats_raw"]["id"] is not None
    score = np.concatenate([found["id"].log_prob, found["ood"].log_prob])
    score[60:63] = -1e9
    label = np.repeat([1, 0], [60, 40])
    assert results["auroc"]["ood"] == pytest.approx(roc_auc_score(label, score))


def test_a_projection_has_no_density_of_the_vector(found):
    results = vector_results(found, "id", fit_standardizer(TRAIN, pca=2))
    assert results["nats_raw"] == {"id": None, "ood": None}
    assert results["nats"]["id"] is not None

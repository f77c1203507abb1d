"""Relation and CF-OOD against sums and counts over all training inputs."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from flowjax_ood.ood import CFOOD, Relation
from flowjax_ood.ood.detectors import reference_sets as module
from tests.helpers import blob_outputs as blobs

Z, F = blobs.wide(blobs.TRAIN)
EACH = pytest.mark.parametrize("detector", [Relation(), CFOOD()], ids=lambda d: d.name)


def unit(f):
    return f / np.linalg.norm(f)


@pytest.mark.parametrize("block", [4096, 128])
def test_relation(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)

    units, p = np.array([unit(f) for f in F]), softmax(Z, axis=1)

    def law(z, f):
        k = np.maximum(units @ unit(f), 0) * (p @ softmax(z))
        return np.sum(k[k > 0.03] ** 2)

    blobs.check_law(Relation(2), law)


def test_cfood():
    """The least share whose neighbourhoods have the input in 12 of 300 references."""
    u = np.array([unit(f) for f in F])
    away = np.linalg.norm(u[:, None] - u, axis=2)
    # of the others: the k-th nearest of 299
    others = np.sort(away, axis=1)[:, 1:]

    def law(z, f):
        to = np.linalg.norm(u - unit(f), axis=1)
        for share in module.SHARES:
            k = max(int(share * 300 - 1), 0)
            if np.sum(others[:, k] >= to) >= 12:
                return -share
        return -1

    queries = blobs.INSIDE, blobs.GREY
    of = blobs.fitted(CFOOD(1.0, 0.04))
    for query in queries:
        expected = np.array([law(z, f) for z, f in zip(*blobs.wide(query))])
        found = of.score_outputs(query)
        # a distance that is rounded may count for the share before or after
        assert np.mean(np.abs(found - expected) < 1e-6) > 0.95
        np.testing.assert_allclose(found, expected, atol=0.02)
        assert len(np.unique(expected)) > 1 or query is blobs.GREY


@pytest.mark.thorough
@pytest.mark.parametrize("rows", [1, 64, 100])
def test_cfood_of_rows_together_is_that_of_each_share(rows):
    """At the first share whose radii reach `count` references; NaN and far rows too."""
    random = np.random.default_rng(rows)
    references = random.normal(size=(40, 6))
    references /= np.linalg.norm(references, axis=1, keepdims=True)
    radii = np.sort(random.uniform(0, 2, (40, 5)), axis=1)
    shares = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
    f = random.normal(size=(rows, 6)) * random.uniform(1e-3, 1e3, (rows, 1))
    f[0] = np.nan if rows == 64 else 0
    u = f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    away = np.sum((u[:, None] - references) ** 2, axis=2)
    seen = np.sum(radii >= away[:, :, None], axis=1)
    enough = np.append(seen >= 9, np.ones((rows, 1), bool), axis=1)
    expected = np.where(np.isnan(u[:, 0]), np.nan, -shares[enough.argmax(1)])
    arrays = [jnp.asarray(a, jnp.float32) for a in (f, references, radii, shares)]
    np.testing.assert_allclose(module.cfof(*arrays, 9), expected, rtol=1e-6)


def test_cfood_draws_references_by_the_seed():
    def of(seed):
        return blobs.fitted(CFOOD(), seed=seed).score_outputs(blobs.INSIDE)

    np.testing.assert_array_equal(of(0), of(0))
    assert not np.array_equal(of(0), of(1))


@EACH
def test_order_and_degenerate(detector):
    blobs.check_order(detector)
    blobs.check_degenerate(detector)


def test_settings_out_of_range():
    with pytest.raises(ValueError, match=r"share .*got 10"):
        CFOOD(10)
    with pytest.raises(ValueError, match=r"power .*got 0"):
        Relation(0)
    few = blobs.outputs_of(F[:9])
    with pytest.raises(ValueError, match=r"two references .* got 1: .* of 9"):
        blobs.fitted(CFOOD(), few, blobs.LABELS[:9])

"""Outliers in feature space: of external classes, from tails that follow their law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, kstest

from flowjax_ood.federated import (
    FeatureGenerator,
    external_features,
    make_generator_step,
    tail_features,
)
from flowjax_ood.federated.tails import RIDGE
from flowjax_ood.training.optimizers import make_optimizer
from flowjax_ood.training.state import fine_tuning_state

KEY, DIMS, CLASSES = jax.random.key(3), 6, 5
MEANS = np.random.default_rng(0).normal(size=(3, DIMS)) * 20
ROOT = np.tril(np.random.default_rng(1).normal(size=(DIMS, DIMS)))
COVARIANCE = ROOT @ ROOT.T


def whitened(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(the mean that is nearest, squared whitened distance to it)` in float64."""
    inverse = np.linalg.inv(COVARIANCE + RIDGE * np.eye(DIMS))
    away = rows[:, None].astype(np.float64) - MEANS
    squares = np.einsum("ned,dc,nec->ne", away, inverse, away)
    return squares.argmin(1), squares.min(1)


def test_keeping_all_draws_is_the_gaussian():
    single = tail_features(MEANS[:1], COVARIANCE, 4000, KEY, draws=50, keep=50)
    assert single.dtype == np.float32
    error = np.sqrt(np.diag(COVARIANCE) / 4000)
    assert (np.abs(single.mean(0) - MEANS[0]) < 5 * error).all()
    np.testing.assert_allclose(
        np.cov(single.T), COVARIANCE, atol=0.1 * COVARIANCE.max()
    )
    inverse = np.linalg.inv(COVARIANCE + RIDGE * np.eye(DIMS))
    away = single - MEANS[0]
    squares = np.einsum("nd,dc,nc->n", away, inverse, away)
    assert kstest(squares, chi2(DIMS).cdf).pvalue > 0.01


def test_the_rarest_of_n_has_the_law_of_a_maximum():
    """The same law by brute force: 200 draws made, and the farthest kept."""
    rows = tail_features(MEANS[:1], COVARIANCE, 4000, KEY, draws=200)[:1000]
    inverse = np.linalg.inv(COVARIANCE + RIDGE * np.eye(DIMS))
    away = rows - MEANS[0]
    squares = np.einsum("nd,dc,nc->n", away, inverse, away)
    assert kstest(squares, lambda s: chi2(DIMS).cdf(s) ** 200).pvalue > 0.01
    brute = (np.random.default_rng(2).normal(size=(500, 200, DIMS)) ** 2).sum(-1)
    assert kstest(squares, brute.max(1)).pvalue > 0.01
    # directions are even
    units = away @ np.linalg.inv(np.linalg.cholesky(COVARIANCE)).T
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    np.testing.assert_allclose(units.T @ units / 1000, np.eye(DIMS) / DIMS, atol=0.03)


def test_one_of_a_thousand_is_rarer_than_99_percent():
    rows = tail_features(MEANS, COVARIANCE, 4000, KEY, draws=1000)
    which, squares = whitened(rows)
    # of one row, with probability 4e-5 not
    assert (chi2(DIMS).cdf(squares[:300]) > 0.99).all()
    assert chi2(DIMS).cdf(squares).min() > 0.98
    assert np.bincount(which, minlength=3).min() > 1200


def made(num=16, own=(0, 3), key=KEY, **options):
    generator = FeatureGenerator(CLASSES, DIMS, noise=4, hidden=16)
    labels = jnp.zeros(1, jnp.int32)
    variables = generator.init(jax.random.key(0), labels, key)
    return external_features(generator, variables, own, num, key, **options)


@pytest.mark.thorough
def test_a_row_depends_on_its_key_alone():
    few, many = made(16, draws=30), made(64, draws=30)
    np.testing.assert_array_equal(few, many[:16])
    assert len(np.unique(many, axis=0)) == 64
    assert not np.array_equal(few, made(16, key=jax.random.key(4), draws=30))


def test_own_classes_are_never_asked_for(monkeypatch):
    from flowjax_ood.federated import tails

    asked = []
    plain = tails._generated

    def spy(generator, variables, labels, key):
        asked.extend(np.asarray(labels).tolist())
        return plain(generator, variables, labels, key)

    monkeypatch.setattr(tails, "_generated", spy)
    made(own=(0, 3), draws=30)
    assert {*asked} == {1, 2, 4}
    assert asked.count(1) == 30


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"own": range(CLASSES)}, "all 5 classes are the client's own"),
        ({"own": (0, 7)}, "own class 7 is none of 5 classes"),
        ({"own": (-1,)}, "an own class must be at least 0"),
        ({"num": 0}, "num must be at least 1, got 0"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"draws": 10, "keep": 11}, r"keep must lie in 1 ... draws \(10\), got 11"),
        ({"draws": 10, "keep": 0}, "got 0"),
    ],
)
def test_external_features_refuse(options, said):
    with pytest.raises(ValueError, match=said):
        made(**options)


def test_tails_need_finite_moments_of_one_shape():
    with pytest.raises(ValueError, match="must be finite"):
        tail_features(MEANS * np.nan, COVARIANCE, 3, KEY)
    with pytest.raises(ValueError, match=r"got \[3, 6\] and \[2, 2\]"):
        tail_features(MEANS, COVARIANCE[:2, :2], 3, KEY)


# --- the generator --------------------------------------------------------------------


@pytest.mark.thorough
def test_a_generator_learns_a_fixed_head_and_leaves_it():
    generator = FeatureGenerator(CLASSES, 16, noise=8, hidden=32)
    # orthogonal columns
    w = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0][:, :CLASSES]
    head = jnp.asarray(w, jnp.float32), jnp.zeros(CLASSES)
    optimizer = make_optimizer(1e-3, clip_norm=0.0, l2=0.0, scales_apart=False)
    variables = generator.init(KEY, jnp.zeros(1, jnp.int32), KEY)
    state = fine_tuning_state(optimizer, variables)
    step = jax.jit(make_generator_step(generator, optimizer))
    labels = jnp.arange(100) % CLASSES
    _, before = step(state, labels, head, KEY)
    for _ in range(500):
        state, _ = step(state, labels, head, KEY)
    fresh = generator.apply(state.variables(), labels, jax.random.key(99))
    assert (fresh >= 0).all()
    # float64, apart from the step
    logits = np.asarray(fresh, np.float64) @ w
    assert (logits.argmax(1) == np.asarray(labels)).mean() >= 0.95 > before["accuracy"]


@pytest.mark.thorough
def test_a_generated_row_has_noise_of_its_own():
    generator = FeatureGenerator(CLASSES, 3, noise=4, hidden=8, positive=False)
    variables = generator.init(KEY, jnp.zeros(1, jnp.int32), KEY)
    few, many = (generator.apply(variables, jnp.ones(n, int), KEY) for n in (3, 9))
    np.testing.assert_allclose(few, many[:3], rtol=1e-5)
    assert len(np.unique(np.round(many, 5), axis=0)) == 9
    assert (np.asarray(many) < 0).any()
    with pytest.raises(ValueError, match="classes must be at least 2, got 1"):
        FeatureGenerator(1, 3)

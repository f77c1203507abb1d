"""Mahalanobis scores against scikit-learn, and where covariances are singular."""

import jax
import numpy as np
import pytest
from sklearn import covariance

from flowjax_ood.ood import Mahalanobis, auroc

RNG = np.random.RandomState(0)
# correlated, far from the origin, scales apart by a thousand
MIX = RNG.randn(5, 5) * np.array([1, 1e-3, 1, 5, 1e-2])
X = (RNG.randn(300, 5) @ MIX + 20).astype(np.float32)
LABELS = RNG.choice([3, 7, 12], 300)
CLASSES = X + np.eye(5, dtype=np.float32)[LABELS % 5]
NEW = (1.5 * RNG.randn(40, 5) @ MIX + 20).astype(np.float32)


def agree(scores, expected, rtol=2e-3):
    """float32 keeps 3 digits of features whose least direction is 1e-4 of them."""
    np.testing.assert_allclose(scores, expected, rtol=rtol, atol=1e-4)


def squared(x, mean, precision):
    r = x.astype(np.float64) - mean
    return np.einsum("ni,ij,nj->n", r, precision, r)


def by_class(x, labels, new, covariance_of):
    """Lee et al.: the least squared distance to a mean, by the tied covariance."""
    x = x.astype(np.float64)
    means = {k: x[labels == k].mean(0) for k in np.unique(labels)}
    residuals = x - np.stack([means[k] for k in labels])
    precision = np.linalg.pinv(covariance_of(residuals), hermitian=True)
    return np.min([squared(new, m, precision) for m in means.values()], axis=0)


def empirical(residuals):
    return residuals.T @ residuals / len(residuals)


def test_one_gaussian_is_that_of_scikit_learn():
    model = covariance.EmpiricalCovariance().fit(X.astype(np.float64))
    agree(Mahalanobis.fit(X).score(NEW), -model.mahalanobis(NEW.astype(np.float64)))


def test_in_float64_it_is_exact():
    with jax.enable_x64(True):
        x, new = X.astype(np.float64), NEW.astype(np.float64)
        model = covariance.EmpiricalCovariance().fit(x)
        agree(Mahalanobis.fit(x).score(new), -model.mahalanobis(new), rtol=1e-7)


def test_classes_share_a_covariance():
    expected = by_class(CLASSES, LABELS, NEW, empirical)
    agree(Mahalanobis.fit(CLASSES, LABELS).score(NEW), -expected)


def test_relative_takes_the_background_off():
    both = covariance.EmpiricalCovariance().fit(CLASSES.astype(np.float64))
    background = both.mahalanobis(NEW.astype(np.float64))
    expected = by_class(CLASSES, LABELS, NEW, empirical) - background
    detector = Mahalanobis.fit(CLASSES, LABELS, relative=True)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(detector.score(NEW), -expected, atol=0.05)


@pytest.mark.parametrize("rows", [4, 30, 300])
def test_ledoit_wolf_is_that_of_scikit_learn(rows):
    model = covariance.LedoitWolf().fit(X[:rows].astype(np.float64))
    detector = Mahalanobis.fit(X[:rows], shrinkage="ledoit_wolf")
    expected = model.mahalanobis(NEW.astype(np.float64))
    assert 0 < model.shrinkage_ < 1
    agree(detector.score(NEW), -expected)


def test_shrinkage_is_that_of_scikit_learn():
    def shrunk(residuals):
        return covariance.shrunk_covariance(empirical(residuals), 0.2)

    detector = Mahalanobis.fit(CLASSES, LABELS, shrinkage=0.2)
    agree(detector.score(NEW), -by_class(CLASSES, LABELS, NEW, shrunk))


def test_one_class_is_no_class():
    one = Mahalanobis.fit(X, np.full(len(X), 9)).score(NEW)
    np.testing.assert_array_equal(one, Mahalanobis.fit(X).score(NEW))


def with_constant(x, value) -> np.ndarray:
    return np.concatenate([x, np.full((len(x), 2), value, np.float32)], axis=1)


def test_dead_features_are_left_out_or_shrunk():
    detector = Mahalanobis.fit(with_constant(X, 5))
    agree(detector.score(with_constant(NEW, 7)), Mahalanobis.fit(X).score(NEW))
    detector = Mahalanobis.fit(with_constant(X, 5), shrinkage=0.01)
    changed, same = (detector.score(with_constant(NEW, v)) for v in (7, 5))
    assert np.all(np.asarray(changed) < np.asarray(same))


@pytest.mark.parametrize("rows", [2, 4])
@pytest.mark.parametrize("shrinkage", [0.0, 0.1, "ledoit_wolf"])
def test_fewer_rows_than_features(rows, shrinkage):
    detector = Mahalanobis.fit(X[:rows], shrinkage=shrinkage)
    if shrinkage != "ledoit_wolf":
        assert np.any(detector.whiten, axis=0).sum() == (5 if shrinkage else rows - 1)
    # whatever the rank: programs are shared by all fits to as many features
    assert detector.whiten.shape == (5, 5)
    assert np.isfinite(detector.score(NEW)).all()


def test_scores_within_jit_and_of_integers():
    detector = Mahalanobis.fit(X, LABELS, relative=True)
    inside = jax.jit(lambda detector, x: detector.score(x))(detector, NEW)
    np.testing.assert_allclose(inside, detector.score(NEW), rtol=1e-6)
    assert Mahalanobis.fit(np.arange(12).reshape(6, 2) % 5).score([[1, 2]]).shape == (
        1,
    )


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ({"features": X[0]}, r"\[N, D\].* shape \(5,\)"),
        ({"features": X[:0]}, r"shape \(0, 5\)"),
        ({"features": np.where(X[2, 1] == X, np.nan, X)}, "the first is row 2"),
        ({"features": np.ones((9, 3))}, "do not vary"),
        ({"features": X[:1]}, "do not vary"),
        ({"labels": LABELS[:5]}, r"shape \(5,\) do not go with 300"),
        ({"shrinkage": 1.5}, r"shrinkage must be .*\[0, 1\].* got 1.5"),
        ({"shrinkage": "oas"}, "got 'oas'"),
        ({"relative": True}, "labels of two classes"),
        ({"relative": True, "labels": LABELS * 0}, "labels of two classes"),
    ],
)
def test_bad_input_is_named(args, match):
    with pytest.raises(ValueError, match=match):
        Mahalanobis.fit(**{"features": X} | args)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="labels must be integers, got dtype float64"):
        Mahalanobis.fit(X, LABELS / 2)
    with pytest.raises(TypeError, match="features must be real numbers, got dtype"):
        Mahalanobis.fit(X + 1j)


def test_scored_features_are_those_of_the_encoder():
    detector = Mahalanobis.fit(X)
    with pytest.raises(ValueError, match="have 4 columns, those of fit had 5"):
        detector.score(NEW[:, :4])
    with pytest.raises(ValueError, match=r"1 of 40 rows .* the first is row 3"):
        detector.score(np.where(NEW[3, 0] == NEW, np.inf, NEW))


@pytest.mark.parametrize("scale", [1.0, 1e5, 1e-12])
def test_units_of_columns_do_not_matter(scale):
    """Real columns of scales 0.003 to 570, an outlier in one of the small ones."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    train, test = x[y == 1][:200], x[y == 1][200:]
    odd = test.copy()
    odd[:, 19] += 10 * train[:, 19].std()
    units = np.where(np.arange(30) % 2, scale, 1.0)
    detector = Mahalanobis.fit(train * units)
    assert np.any(detector.whiten, axis=0).sum() == 30
    model = covariance.EmpiricalCovariance().fit(train)
    for rows in (test, odd):
        agree(detector.score(rows * units), -model.mahalanobis(rows), rtol=0.02)
    assert auroc(detector.score(test * units), detector.score(odd * units)).value == 1


@pytest.mark.parametrize("value", [0.1, 5e8, 1e-30])
def test_a_constant_column_counts_for_nothing_whatever_its_size(value):
    constant = np.full((300, 1), value, np.float32)
    detector = Mahalanobis.fit(np.concatenate([X, constant], axis=1), LABELS)
    new = np.concatenate([NEW, 2 * constant[:40]], axis=1)
    agree(detector.score(new), Mahalanobis.fit(X, LABELS).score(NEW))

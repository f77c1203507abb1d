"""Standardisation and PCA: moments, change of variables, and what cannot be done."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from flowjax_ood.data.standardize import Standardizer, fit_standardizer


def correlated(count=200, dims=5, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dims, dims)) * np.geomspace(0.01, 100, dims)
    return (rng.normal(size=(count, dims)) @ mix + 50).astype(np.float32)


def test_training_vectors_get_mean_0_and_spread_1():
    x = correlated()
    z = fit_standardizer(x).transform(x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-5)
    np.testing.assert_allclose(z, StandardScaler().fit_transform(x), atol=1e-4)


@pytest.mark.parametrize("far", [1.0, -1e30, np.inf, np.nan])
def test_values_too_far_out_for_float32_name_their_feature(far):
    """A standard deviation of 1e-40 makes 1.0 overflow, and squares of much less."""
    x = correlated()
    x[:, 2] *= 1e-40 if far == 1.0 else 1.0
    found = fit_standardizer(x)
    found.transform(x)
    other = x[:3].copy()
    other[1, 2] = far
    with pytest.raises(ValueError, match=r"feature 2 lies \S+ standard deviations"):
        found.transform(other)


@pytest.mark.parametrize("pca", [2, 5])
def test_whitened_components_are_uncorrelated_and_those_of_scikit_learn(pca):
    x = correlated()
    found = fit_standardizer(x, pca=pca)
    z = found.transform(x)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(pca), atol=1e-3)
    theirs = PCA(pca, whiten=True, svd_solver="full").fit(
        StandardScaler().fit_transform(x.astype(np.float64))
    )
    explained = theirs.explained_variance_ratio_.sum()
    assert found.describe()["explained_variance"] == pytest.approx(explained, rel=1e-9)
    # up to their sign, and their divisor N - 1
    expected = theirs.transform(StandardScaler().fit_transform(x.astype(np.float64)))
    expected *= np.sqrt(len(x) / (len(x) - 1))
    sign = np.sign((z * expected).sum(0))
    np.testing.assert_allclose(z, expected * sign, atol=2e-4)


def test_without_whitening_components_keep_their_variance():
    x = correlated()
    found = fit_standardizer(x, pca=3, whiten=False)
    variance = found.transform(x).var(0)
    np.testing.assert_allclose(variance, found.variances[:3], rtol=1e-4)
    assert (np.diff(found.variances) <= 0).all()
    assert found.variances.sum() == pytest.approx(5)


@pytest.mark.parametrize("arguments", [{}, {"pca": 5}, {"pca": 5, "whiten": False}])
def test_the_log_determinant_is_that_of_the_map(arguments):
    x = correlated()
    found = fit_standardizer(x, **arguments)
    matrix = np.diag(1 / found.std)
    if found.components is not None:
        matrix = matrix @ found.components
    sign, expected = np.linalg.slogdet(matrix)
    assert sign != 0
    assert found.log_abs_det == pytest.approx(expected, rel=1e-9)
    # and that map it is
    z = (x[:7].astype(np.float64) - found.mean) @ matrix
    np.testing.assert_allclose(found.transform(x[:7]), z, atol=1e-4)


def test_all_components_are_as_many_as_the_vectors_span():
    assert fit_standardizer(correlated(), pca=-1).output_dims == 5
    few = fit_standardizer(correlated(4), pca=-1)
    assert few.output_dims == 3
    assert few.log_abs_det is None


def test_fewer_components_have_no_density_of_the_whole():
    found = fit_standardizer(correlated(), pca=4)
    assert found.log_abs_det is None
    assert found.describe()["log_abs_det"] is None
    assert found.output_dims == 4


def test_constant_features_are_refused_or_dropped_on_record():
    x = correlated()
    x[:, 1] = 7.3
    x[:, 4] = 0
    with pytest.raises(ValueError, match=r"2 of 5 features never change.*\(1, 4\)"):
        fit_standardizer(x)
    found = fit_standardizer(x, constant="drop")
    assert found.describe()["dropped_constant_features"] == [1, 4]
    z = found.transform(x)
    np.testing.assert_array_equal(
        z, fit_standardizer(x[:, [0, 2, 3]]).transform(x[:, [0, 2, 3]])
    )
    assert json.loads(json.dumps(found.describe()))["dims"] == 3


def test_a_feature_far_from_zero_that_moves_is_kept():
    x = correlated(dims=2)
    x[:, 0] = 1e4 + np.linspace(0, 1, len(x))
    assert fit_standardizer(x).output_dims == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"constant": "keep"}, "unknown constant 'keep'; known: error, drop"),
        ({"pca": 6}, "span 5 dimensions; ask for 1 to 5"),
        ({"pca": -2}, "ask for 1 to 5, for -1, all of them, or for 0"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        fit_standardizer(correlated(), **arguments)


def test_few_vectors_span_few_dimensions():
    with pytest.raises(ValueError, match="the 4 training vectors span 3 dimensions"):
        fit_standardizer(correlated(4), pca=4)
    with pytest.raises(ValueError, match="1 vector has no spread"):
        fit_standardizer(correlated(1))
    same = np.ones((5, 2), np.float32)
    with pytest.raises(ValueError, match="no feature changes"):
        fit_standardizer(same, constant="drop")


def test_vectors_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"fitted on vectors \[N, 5\], got .*\(2, 4\)"):
        fit_standardizer(correlated()).transform(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize("arguments", [{}, {"pca": 3}])
def test_it_is_kept_bit_for_bit(tmp_path, arguments):
    found = fit_standardizer(correlated(), **arguments)
    found.save(tmp_path / "s.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]
    again = Standardizer.load(tmp_path / "s.npz")
    for field in dataclasses.fields(found):
        expected, value = getattr(found, field.name), getattr(again, field.name)
        assert (expected is None) == (value is None)
        if expected is not None:
            np.testing.assert_array_equal(value, expected)
    x = correlated(seed=1)
    np.testing.assert_array_equal(again.transform(x), found.transform(x))


@pytest.mark.parametrize("content", ["nothing", "text", "others", "half"])
def test_another_file_is_named(tmp_path, content):
    file = tmp_path / "s.npz"
    if content == "text":
        file.write_text("x")
    elif content == "others":
        np.savez(file, a=1)
    elif content == "half":
        fit_standardizer(correlated()).save(file)
        file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"s\.npz holds no standardisation"):
        Standardizer.load(file)

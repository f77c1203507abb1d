"""`FlowOutlierDetector`: exact densities of Gaussians, units, constants, far rows."""

import numpy as np
import pytest

from flowjax_ood.estimators import FlowOutlierDetector
from flowjax_ood.estimators.columns import Columns
from flowjax_ood.estimators.density import KernelDensity, automatic_steps

MEAN = np.array([5.0, -2e6, 0.1])
ROOT = np.array([[2.0, 0, 0], [900, 400, 0], [0.01, 0.02, 0.03]])
QUICK = {"couplings": 2, "width": 16, "random_state": 0}


def gaussian(count: int, seed: int) -> np.ndarray:
    return MEAN + np.random.default_rng(seed).normal(size=(count, 3)) @ ROOT.T


def log_gaussian(x: np.ndarray) -> np.ndarray:
    z = np.linalg.solve(ROOT, (x - MEAN).T)
    log_det = np.linalg.slogdet(ROOT)[1]
    return -(z**2).sum(0) / 2 - log_det - 1.5 * np.log(2 * np.pi)


@pytest.fixture(scope="module")
def fitted():
    return FlowOutlierDetector(**QUICK).fit(gaussian(1000, 0))


def test_log_prob_of_a_gaussian_is_its_own(fitted):
    x = gaussian(2000, 1)
    gap = fitted.score_samples(x) - log_gaussian(x)
    # the mean is -KL(p, flow): of 9 numbers fitted to 800 rows, 9 / 1,600 nats; then
    # the root of the mean square is 0.1
    assert -0.05 < gap.mean() < 0.02
    assert np.sqrt(np.mean(gap**2)) < 0.2


def test_without_whitening_the_flow_learns_the_correlations():
    x, new = gaussian(2000, 0), gaussian(2000, 1)
    untrained = FlowOutlierDetector(**QUICK, whiten=False, learning_rate=1e-12).fit(x)
    trained = FlowOutlierDetector(**QUICK, whiten=False, learning_rate=1e-2).fit(x)
    truth = log_gaussian(new).mean()
    # an independent Gaussian loses -log det(correlations) / 2
    covariance = ROOT @ ROOT.T
    lost = (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1]) / 2
    assert truth - untrained.score_samples(new).mean() == pytest.approx(lost, abs=0.1)
    assert truth - trained.score_samples(new).mean() < 0.5 * lost


def test_whitening_and_its_determinant_are_those_of_the_shrunk_correlations():
    x = gaussian(500, 2)
    columns = Columns.fit(x, whiten=True)
    correlations = np.corrcoef(x.T)
    kept = np.linalg.inv(columns.root @ columns.root)
    share = 1 - kept[0, 1] / correlations[0, 1]
    assert 1e-4 <= share < 0.05
    expected = (1 - share) * correlations + share * np.eye(3)
    np.testing.assert_allclose(kept, expected, atol=1e-9)
    z = columns(x[:1]).astype(np.float64)
    step = 1e-3 * x.std(0)
    # z is linear in x
    jacobian = columns.root @ np.diag(1 / columns.scale)
    ends = columns(x[:1] + np.diag(step)).astype(np.float64) - z
    np.testing.assert_allclose(ends.T / step, jacobian, rtol=5e-3, atol=1e-9)
    assert columns.log_det == pytest.approx(np.linalg.slogdet(jacobian)[1])
    np.testing.assert_allclose(columns.root, columns.root.T, atol=1e-12)


def test_far_rows_are_outliers_and_normal_ones_rarely(fitted):
    x = gaussian(2000, 3)
    # of a Gaussian in three dimensions, Tukey's fence of chi^2 leaves 3.3 % out
    assert (fitted.predict(x) == -1).mean() == pytest.approx(0.033, abs=0.03)
    far = MEAN + 8 * np.sqrt(np.diag(ROOT @ ROOT.T)) * np.array(
        [[1, -1, 1], [-1, 1, 1]]
    )
    farther = np.concatenate([far, MEAN + 1e30 * (far - MEAN), [[1e308, -1e308, 0]]])
    assert (fitted.predict(farther) == -1).all()
    assert np.isfinite(fitted.score_samples(farther)).all()


def test_units_of_columns_change_no_decision(fitted):
    x, new = gaussian(1000, 0), gaussian(500, 4)
    new[::3] += 3 * x.std(0)
    scale, shift = np.array([1024.0, 3.7e-5, 12.9]), np.array([0.0, 4.0, -77.0])
    other = FlowOutlierDetector(**QUICK).fit(scale * x + shift)
    away = fitted.decision_function(new)
    # as far from the threshold as float32 trajectories part
    sure = np.abs(away) > 0.05
    assert sure.mean() > 0.95
    assert len(set(fitted.predict(new))) == 2
    moved = other.predict(scale * new + shift)
    np.testing.assert_array_equal(moved[sure], fitted.predict(new)[sure])
    # densities are in the new units
    apart = other.score_samples(scale * new + shift) - fitted.score_samples(new)
    np.testing.assert_allclose(apart.mean(), -np.log(scale).sum(), atol=0.05)


@pytest.mark.thorough
def test_typicality_calls_the_densest_point_unusual():
    x = np.random.default_rng(5).normal(size=(1500, 40))
    by_density = FlowOutlierDetector(**QUICK).fit(x)
    typical = FlowOutlierDetector(**QUICK, statistic="typicality").fit(x)
    mode = x.mean(0, keepdims=True)
    assert by_density.predict(mode) == 1
    assert typical.predict(mode) == -1
    np.testing.assert_allclose(
        typical.score_samples(x),
        -np.abs(by_density.score_samples(x) - typical.typical_),
        rtol=1e-12,
    )


def test_one_column_has_a_kernel_estimate():
    rng = np.random.default_rng(6)
    x = 3 * rng.normal(size=(1000, 1)) + 50
    detector = FlowOutlierDetector(random_state=0).fit(x)
    assert isinstance(detector.density_, KernelDensity)
    grid = np.linspace(20, 80, 3001)[:, None]
    density = np.exp(detector.score_samples(grid))
    assert density.sum() * 0.02 == pytest.approx(1, abs=1e-3)
    truth = np.exp(-(((grid[:, 0] - 50) / 3) ** 2) / 2) / np.sqrt(2 * np.pi) / 3
    assert np.abs(density - truth).sum() * 0.02 < 0.1
    np.testing.assert_array_equal(
        detector.predict([[50.0], [80.0], [1e9]]), [1, -1, -1]
    )
    # a constant column leaves one
    beside = np.column_stack([x, np.full(len(x), 0.1)])
    other = FlowOutlierDetector(random_state=0).fit(beside)
    np.testing.assert_array_equal(
        other.score_samples(beside), detector.score_samples(x)
    )


def test_a_row_that_differs_from_a_constant_column_is_an_outlier(fitted):
    x, new = gaussian(1000, 0), gaussian(50, 7)

    def beside(rows, value):
        return np.column_stack([rows[:, :1], np.full(len(rows), value), rows[:, 1:]])

    detector = FlowOutlierDetector(**QUICK).fit(beside(x, 0.7))
    same = detector.score_samples(beside(new, 0.7))
    np.testing.assert_array_equal(same, fitted.score_samples(new))
    rounded = detector.score_samples(beside(new, np.float32(0.7)))
    np.testing.assert_array_equal(rounded, same)
    differ = detector.score_samples(beside(new, 0.71))
    np.testing.assert_allclose(differ, same - 5e7)


@pytest.mark.thorough
def test_few_rows_keep_the_gaussian_that_they_support():
    rng = np.random.default_rng(8)
    x, new = rng.normal(size=(41, 13)), rng.normal(size=(2000, 13))
    gaussian_alone = FlowOutlierDetector(**QUICK, learning_rate=1e-12).fit(x)
    detector = FlowOutlierDetector(**QUICK, learning_rate=1e-2, steps=300).fit(x)
    assert (detector.predict(new) == -1).mean() < 0.3
    # a flow trained to the end on so few loses tens of nats
    lost = gaussian_alone.score_samples(new) - detector.score_samples(new)
    assert lost.mean() < 1
    two = FlowOutlierDetector(**QUICK).fit(x[:2])
    assert np.isfinite(two.score_samples(new)).all()


def test_columns_that_follow_from_others_are_no_degenerate_density():
    x = gaussian(500, 0)
    doubled = np.column_stack([x, x[:, 0] + x[:, 2]])
    detector = FlowOutlierDetector(**QUICK).fit(doubled)
    assert np.isfinite(detector.score_samples(doubled)).all()
    broken = doubled[:20].copy()
    broken[:, 3] += doubled[:, 3].std()
    assert (detector.predict(broken) == -1).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"couplings": 1}, "couplings must be at least 2, got 1"),
        ({"width": 2.5}, "width must be a whole number, got 2.5"),
        ({"steps": "many"}, "steps must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0, got 0.0"),
        ({"learning_rate": np.nan}, "learning_rate must be a number above 0, got nan"),
        ({"statistic": "mean"}, "statistic must be .*got 'mean'"),
        ({"learning_rate": 1e30}, "smaller learning_rate than 1e\\+30"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        FlowOutlierDetector(**(QUICK | wrong)).fit(gaussian(100, 0))


def test_a_table_that_does_not_vary():
    with pytest.raises(ValueError, match="no column varies among the 24 rows"):
        FlowOutlierDetector().fit(np.full((30, 4), 0.1))


def test_training_is_longer_of_more_rows():
    assert [automatic_steps(n) for n in (10, 1000, 4000, 10**6)] == [
        100,
        325,
        625,
        1000,
    ]

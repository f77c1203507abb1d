"""Many streams at once are monitored as the library's monitor does one."""

from argparse import Namespace

import numpy as np
import pytest
from scipy.stats import ks_2samp

from experiments.drift import measures, monitors
from flowjax_ood import ood

DELTA = 0.05


@pytest.fixture(scope="module")
def streams():
    """Calibration and streams with ties, of which the last two fall."""
    rng = np.random.default_rng(3)
    calibration = rng.normal(size=(4, 50)).round(1)
    scores = rng.normal(size=(4, 80)).round(1)
    scores[2:, 30:] -= 1.5
    return calibration, scores


def one_by_one(streams, **settings) -> tuple[np.ndarray, np.ndarray, list]:
    logs, statistics, alarms = [], [], []
    for k, (calibration, scores) in enumerate(zip(*streams)):
        monitor = ood.DriftMonitor(seed=7 + k, delta=DELTA, **settings)
        _, report = monitor.update(monitor.start(calibration), scores)
        logs.append(report.log_wealth)
        statistics.append(report.cusum)
        alarms.append(report.alarm_at or 0)
    return np.array(logs), np.array(statistics), alarms


@pytest.mark.parametrize("betting", ["power", "jumper", "both"])
def test_wealth_is_that_of_the_library(streams, betting):
    p = monitors.growing_p(*streams, seed=7)
    power, jumper = monitors.power_wealth(p), monitors.jumper_wealth(p)
    found = {"power": power, "jumper": jumper}
    found["both"] = monitors.mean_wealth(power, jumper)
    expected, _, alarms = one_by_one(streams, betting=betting)
    np.testing.assert_allclose(found[betting], expected, rtol=0, atol=1e-9)
    assert list(monitors.first_alarm(found[betting], 100.0)) == alarms
    assert alarms[0] == 0
    assert max(alarms) > 30


def test_the_fixed_reference_and_cusum_are_those_of_the_library(streams):
    fixed = monitors.power_wealth(monitors.fixed_p(*streams, DELTA))
    expected, *_ = one_by_one(streams, reference="fixed")
    np.testing.assert_allclose(fixed, expected, rtol=0, atol=1e-9)
    power = monitors.power_wealth(monitors.growing_p(*streams, seed=7))
    _, expected, alarms = one_by_one(streams, restart="cusum", alarm=20.0)
    found = monitors.cusum(power)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert list(monitors.first_alarm(found, 20.0)) == alarms
    assert any(alarms)


def test_windows_are_tested_as_scipy_does(streams):
    calibration, scores = streams
    found = monitors.window_p(*streams, 25)
    assert found.shape == (4, 3)  # the last five scores are no window
    for k in range(4):
        for j in range(3):
            window = scores[k, 25 * j : 25 * j + 25]
            other = ks_2samp(calibration[k], window, method="asymp")
            assert found[k, j] == pytest.approx(other.pvalue, abs=1e-12)
    at = monitors.first_window(np.array([[0.9, 0.01, 0.0], [0.9, 0.9, 0.9]]), 0.05, 25)
    assert list(at) == [50, 0]


def test_summaries_count_alarms_before_the_change_apart():
    at = np.array([0, 5, 12, 14, 0, 30])
    found = measures.summary(at, 10)
    assert found["alarms"] == pytest.approx(4 / 6)
    assert found["early"] == pytest.approx(1 / 6)
    assert found["missed"] == pytest.approx(2 / 5)
    assert found["median_delay"] == 20  # of 2, 4, 20, never, never
    missed = measures.summary(np.array([0, 0, 12]), 10)
    assert missed["median_delay"] is None
    assert measures.summary(at, None) == {"alarms": pytest.approx(4 / 6)}


def test_bounds_are_those_of_the_library():
    args = Namespace(alarm=50.0, steps=100)
    limits = measures.bounds(args)
    for name, settings in (
        ("power", {}),
        ("jumper", {"betting": "jumper"}),
        ("both", {"betting": "both"}),
        (measures.FIXED, {"reference": "fixed"}),
    ):
        monitor = ood.DriftMonitor(alarm=50.0, delta=measures.DELTA, **settings)
        assert limits[name] == pytest.approx(monitor.false_alarm_bound)
    # as many starts as steps, each of 1 / threshold
    assert limits["CUSUM at 50"] is None
    assert limits["CUSUM at 5,000"] == pytest.approx(0.02)

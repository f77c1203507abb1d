"""Drift: p-values of a stream, bets on them, and alarms as rarely false as said."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from flowjax_ood import ood
from flowjax_ood.ood.betting import (
    even_shares,
    jumper_payoffs,
    log_mean,
    play,
    power_payoffs,
)

RNG = np.random.default_rng
Monitor = ood.DriftMonitor
BETS = {"power": power_payoffs, "jumper": jumper_payoffs}
MONITORS = [
    *(Monitor(b, seed=3) for b in ("power", "jumper", "both")),
    Monitor("both", restart="cusum"),
    Monitor(reference="fixed", delta=0.1),
    Monitor(reference="fixed", restart="cusum", alarm=20),
]


def run(monitor, calibration, stream):
    return monitor.update(monitor.start(calibration), stream)[1]


# --- bets --------------------------------------------------------------------------


@pytest.mark.parametrize("bet", BETS)
def test_bets_are_fair(bet):
    """Mean 1 under uniform p, each: by quadrature over y, p = e^-y."""
    for i in range(len(BETS[bet](0.5))):
        fair, _ = integrate.quad(
            lambda y, i=i: BETS[bet](math.exp(-y))[i] * math.exp(-y),
            *(0, 200),
            **{"epsabs": 1e-12, "limit": 500},
        )
        assert fair == pytest.approx(1, abs=1e-9)


def test_bets_are_the_published_ones():
    p = 0.03
    expected = [e * p ** (e - 1) for e in (0.2, 0.4, 0.6, 0.8)]
    assert power_payoffs(p) == pytest.approx(expected, rel=1e-14)
    assert jumper_payoffs(p) == pytest.approx([1.47, 1, 0.53], rel=1e-14)
    assert (
        np.diff([power_payoffs(p) for p in np.linspace(0.01, 1, 50)], axis=0).max() < 0
    )


@pytest.mark.parametrize("bet", BETS)
def test_wealth_is_that_of_the_shares(bet):
    """Shares in plain numbers: 1% of all is spread evenly, then each wins or loses."""
    p = RNG(0).uniform(size=60) ** 1.5
    wealths = np.full(len(BETS[bet](0.5)), 1 / len(BETS[bet](0.5)))
    expected = []
    for value in p:
        wealths = 0.99 * wealths + 0.01 * wealths.mean()
        wealths = wealths * BETS[bet](value)
        expected.append(math.log(wealths.sum()))
    found, shares = play(p.tolist(), BETS[bet], even_shares(len(wealths)), 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(shares, wealths / wealths.sum(), rtol=1e-12)


@pytest.mark.parametrize("bet", BETS)
def test_wealth_of_p_of_one_half_never_rises(bet):
    found, _ = play([0.5] * 2000, BETS[bet], even_shares(len(BETS[bet](0.5))), 0.0)
    assert np.diff([0.0, *found]).max() <= 1e-15
    assert np.isfinite(found).all()


def test_wealth_is_finite_where_it_would_overflow_or_vanish():
    monitor = Monitor("both")
    calibration = RNG(1).normal(size=1000)
    lost = run(monitor, calibration, np.linspace(-10, -10_000, 3000)).log_wealth
    assert lost[-1] > 1000
    kept = run(monitor, calibration, np.linspace(10, 10_000, 3000)).log_wealth
    assert np.isfinite(kept).all()
    down = run(Monitor(), calibration, np.linspace(10, 10_000, 5000)).log_wealth
    assert down[-1] < -750, "e^-750 is 0"
    assert log_mean(2000.0, 1.0) == pytest.approx(2000 - math.log(2))
    assert log_mean(-2000.0, -2000.0) == -2000


# --- p-values ----------------------------------------------------------------------


def test_p_values_rank_among_all_before():
    """The formula, score by score; number t of the generator breaks the ties."""
    calibration, stream = (RNG(s).integers(0, 12, n) for s, n in ((0, 30), (1, 200)))
    p = run(Monitor(seed=7), calibration, stream).p
    u = 1 - RNG(7).random(200)
    earlier = list(calibration)
    for t, score in enumerate(stream, 1):
        less = sum(e < score for e in earlier)
        equal = sum(e == score for e in earlier)
        assert p[t - 1] == pytest.approx(
            (less + u[t - 1] * (equal + 1)) / (t + 30), rel=1e-14
        )
        earlier.append(score)


@pytest.mark.parametrize("draw", ["normal", "poisson"])
def test_p_values_of_exchangeable_scores_are_uniform_and_independent(draw):
    rng = RNG(2)
    p = run(Monitor(), getattr(rng, draw)(size=50), getattr(rng, draw)(size=20_000)).p
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(p[lag:], p[:-lag])[0, 1]) < 4 / math.sqrt(20_000)
    assert 0 < p.min() <= p.max() <= 1


def test_fixed_p_values_are_those_for_nearly_all_calibration_sets():
    calibration, stream = RNG(3).normal(size=100), RNG(4).normal(size=300)
    monitor = Monitor(reference="fixed", delta=0.07)
    expected = ood.Calibration.fit(calibration).p_values(stream, "simes", 0.07)
    np.testing.assert_array_equal(run(monitor, calibration, stream).p, expected)


@pytest.mark.parametrize("monitor", MONITORS, ids=repr)
def test_increasing_maps_change_nothing(monitor):
    calibration, stream = RNG(5).normal(size=60), RNG(6).normal(size=90) - 0.3
    found = run(monitor, calibration, stream)
    mapped = run(monitor, np.arctan(calibration), np.arctan(stream))
    jax.tree.map(np.testing.assert_array_equal, mapped, found)
    again = run(monitor, RNG(7).permutation(calibration), stream)
    jax.tree.map(np.testing.assert_array_equal, again, found)


# --- updates -----------------------------------------------------------------------


@pytest.mark.parametrize("monitor", MONITORS, ids=repr)
def test_updates_at_once_and_one_by_one_are_equal_bit_for_bit(monitor, tmp_path):
    calibration = np.round(RNG(8).normal(size=50), 1)
    stream = np.round(RNG(9).normal(size=120) - 1.5 * (np.arange(120) > 60), 1)
    start = monitor.start(calibration, "msp")
    copied = jax.tree.map(np.copy, start)
    end, whole = monitor.update(start, stream, "msp")
    jax.tree.map(np.testing.assert_array_equal, start, copied)
    state, parts = start, []
    for cut in np.split(stream, [1, 2, 3, 50, 51, 90]):
        np.savez(tmp_path / "state.npz", **state._asdict())
        state = ood.DriftState(**np.load(tmp_path / "state.npz"))
        state, part = monitor.update(state, cut, "msp")
        parts.append(part)
    jax.tree.map(np.testing.assert_array_equal, state, end)
    assert jax.tree.map(lambda a: a.dtype, state) == jax.tree.map(
        lambda a: a.dtype, end
    )
    for name in ("p", "log_wealth", "cusum"):
        if getattr(whole, name) is not None:
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_array_equal(joined, getattr(whole, name))
    assert whole.alarm_at == parts[-1].alarm_at
    assert (whole.cusum is None) == (monitor.restart is None)


def test_long_updates_are_cut_in_parts(monkeypatch):
    calibration, stream = (RNG(s).integers(0, 40, 70) for s in (0, 1))
    whole = run(Monitor(), calibration, stream)
    monkeypatch.setattr("flowjax_ood.ood.drift.AT_ONCE", 16)
    jax.tree.map(
        np.testing.assert_array_equal, run(Monitor(), calibration, stream), whole
    )


def test_the_first_alarm_is_counted_from_the_start():
    monitor = Monitor(alarm=10)
    calibration, stream = RNG(10).normal(size=200), RNG(11).normal(size=80)
    stream[30:] -= 4
    state, quiet = monitor.update(monitor.start(calibration), stream[:30])
    assert quiet.alarm_at is None
    state, loud = monitor.update(state, stream[30:])
    log_wealth = np.concatenate([quiet.log_wealth, loud.log_wealth])
    assert loud.alarm_at == 1 + np.argmax(log_wealth >= math.log(10))
    assert 30 < loud.alarm_at < 40
    # the first stays the first
    assert monitor.update(state, stream[:9])[1].alarm_at == loud.alarm_at
    at_once = Monitor(alarm=1.000001).update(
        Monitor(alarm=1.000001).start(calibration), [-9.0]
    )[1]
    assert at_once.alarm_at == 1


def test_cusum_is_its_recursion():
    calibration, stream = RNG(12).normal(size=100), RNG(13).normal(size=400)
    stream[200:] -= 2
    monitor = Monitor("both", restart="cusum")
    report = run(monitor, calibration, stream)
    wealth = np.exp(np.concatenate([[0.0], report.log_wealth]))
    statistic, expected = 1.0, []
    for factor in wealth[1:] / wealth[:-1]:
        statistic = max(1.0, statistic) * factor
        expected.append(statistic)
    np.testing.assert_allclose(report.cusum, np.log(expected), rtol=1e-9, atol=1e-12)
    assert report.alarm_at == 1 + np.argmax(np.array(expected) >= 100)
    # the largest growth since any step
    growth = report.log_wealth[-1] - np.minimum.accumulate([0, *report.log_wealth])[-2]
    assert report.cusum[-1] == pytest.approx(growth, rel=1e-9)


# --- false alarms ------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("betting", ["power", "jumper", "both"])
def test_wealth_reaches_a_with_probability_at_most_1_over_a(betting):
    rng, streams = RNG(14), 400
    most = [
        run(
            Monitor(betting, seed=i), rng.normal(size=50), rng.normal(size=1000)
        ).log_wealth.max()
        for i in range(streams)
    ]
    for a in (1.5, 3, 10, 100):
        reached = np.mean(np.array(most) >= math.log(a))
        assert reached <= 1 / a + 4 * math.sqrt((1 - 1 / a) / a / streams)
    assert np.mean(np.array(most) >= math.log(1.5)) > 0.1, "bets are made at all"


def test_a_fixed_reference_without_correction_rings_too_often():
    """What the correction is for: 200 calibration scores, and the jumper."""
    rng, rung = RNG(15), 0
    for key in range(60):
        calibration = ood.Calibration.fit(rng.normal(size=200))
        p = calibration.p_values(rng.normal(size=3000), key=key)
        rung += max(play(p.tolist(), jumper_payoffs, even_shares(3), 0.0)[0]) >= 4.605
    assert rung / 60 > 0.05


def test_a_fixed_reference_keeps_its_bound():
    rng, rung = RNG(16), []
    monitor = Monitor(reference="fixed", alarm=10, delta=0.1)
    for _ in range(300):
        report = run(monitor, rng.normal(size=40), rng.normal(size=1000))
        rung.append(report.alarm_at is not None)
    assert np.mean(rung) <= 0.2 + 4 * math.sqrt(0.2 * 0.8 / 300)


def test_cusum_rings_after_as_many_scores_as_said_or_more():
    rng, lengths = RNG(17), []
    monitor = Monitor(restart="cusum", alarm=20)
    for i in range(200):
        report = run(
            replace(monitor, seed=i), rng.normal(size=50), rng.normal(size=600)
        )
        lengths.append(report.alarm_at or 600)
    assert np.mean(lengths) >= 20 - 4 * np.std(lengths) / math.sqrt(200)
    # and there are alarms, in the end
    assert np.mean(np.array(lengths) < 600) > 0.3


def test_what_is_promised_is_said():
    assert Monitor(alarm=50).false_alarm_bound == 0.02
    fixed = Monitor(reference="fixed", delta=0.05)
    assert fixed.false_alarm_bound == pytest.approx(0.06)
    assert Monitor(alarm=50).run_length is None
    restarted = Monitor(alarm=50, restart="cusum")
    assert restarted.false_alarm_bound is None
    assert restarted.run_length == 50


# --- power -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "monitor", [MONITORS[0], MONITORS[1], MONITORS[3], MONITORS[4]], ids=repr
)
def test_delay_falls_with_the_size_of_the_change(monitor):
    """AUROC 0.70, 0.90 and 0.965 of what comes from score 100 on; the same noise."""
    delays = {d: [] for d in (0.742, 1.812, 2.562)}
    for seed in range(20):
        calibration, noise = RNG(seed).normal(size=500), RNG(99 + seed).normal(size=700)
        for shift, found in delays.items():
            stream = noise - shift * (np.arange(700) >= 100)
            found.append((run(monitor, calibration, stream).alarm_at or 701) - 100)
    small, middle, large = (np.median(d) for d in delays.values())
    assert small > middle > large > 0
    assert large < 60
    if monitor == MONITORS[0]:
        assert small < 300


def test_cusum_finds_late_changes_sooner():
    sooner = []
    for seed in range(10):
        calibration, stream = (
            RNG(seed).normal(size=500),
            RNG(50 + seed).normal(size=2200),
        )
        stream[2000:] -= 1.8
        plain, restarted = (
            run(Monitor(restart=r), calibration, stream).alarm_at or 2201
            for r in (None, "cusum")
        )
        sooner.append(plain - restarted)
    assert np.median(sooner) > 5


def test_no_drift_in_the_scores_is_none():
    """A tenth of other inputs whose scores are the same cannot be seen."""
    same = RNG(18).normal(size=500)
    assert run(Monitor("both"), same, RNG(19).permutation(same)).alarm_at is None


# --- what is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"betting": "kelly"}, "betting must be one of 'power', 'jumper', 'both'"),
        ({"reference": "window"}, "reference must be one of"),
        ({"restart": "yes"}, "restart must be one of None, 'cusum'"),
        ({"alarm": 1}, "alarm must be finite and above 1"),
        ({"alarm": math.nan}, "alarm must be"),
        ({"alarm": math.inf}, "alarm must be"),
        ({"delta": 0}, "delta must lie"),
        ({"delta": 1.0}, "delta must lie"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"betting": "jumper", "reference": "fixed"}, "'jumper' is not valid"),
        ({"betting": "both", "reference": "fixed"}, "'both' is not valid"),
    ],
)
def test_bad_settings(settings, match):
    with pytest.raises(ValueError, match=match):
        Monitor(**settings)


def test_bad_scores_leave_the_state_as_it_was():
    monitor = Monitor()
    with pytest.raises(ValueError, match="needs 20 calibration scores, got 19"):
        monitor.start(np.arange(19))
    with pytest.raises(ValueError, match=r"calibration_scores\[3\] is NaN"):
        monitor.start([*range(3), np.nan, *range(30)])
    state = monitor.start(np.arange(20))
    before = jax.tree.map(np.copy, state)
    with pytest.raises(ValueError, match=r"scores\[1\] is NaN"):
        monitor.update(state, [0.5, np.nan, 1.0])
    with pytest.raises(ValueError, match="scores is empty"):
        monitor.update(state, [])
    with pytest.raises(TypeError, match="not a real number"):
        monitor.update(state, [1j])
    jax.tree.map(np.testing.assert_array_equal, state, before)
    assert monitor.update(state, [-np.inf, np.inf])[1].p.shape == (2,)


def test_states_of_others_are_refused():
    state = Monitor().start(np.arange(20), "msp")
    Monitor(alarm=100).update(state, [1.0], "msp")
    for other in (Monitor(seed=1), Monitor(alarm=99), Monitor("both")):
        with pytest.raises(ValueError, match="of other settings than DriftMonitor"):
            other.update(state, [1.0], "msp")
    for name in ("", "energy"):
        with pytest.raises(ValueError, match=f"another detector's .* than '{name}'"):
            Monitor().update(state, [1.0], name)

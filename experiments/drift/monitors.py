"""Monitors of many streams at a time: the wealth of `ood.DriftMonitor`, and KS tests.

A monitor of the library takes one stream as it comes. Here all steps are known and
there are thousands of streams, so each step is one operation on arrays of all of them.
"""

import math
from functools import cache

import numpy as np

from flowjax_ood.ood.betting import JUMP, POWERS, TILTS
from flowjax_ood.ood.calibration import simes


def growing_p(
    calibration: np.ndarray, streams: np.ndarray, seed: int = 0
) -> np.ndarray:
    """p-values `[S, T]` of each score among calibration and the stream before it.

    Ties are broken by draws of `seed + k` in stream k, as `DriftMonitor(seed=seed + k)`
    does.
    """
    (count, n), steps = calibration.shape, streams.shape[1]
    below, up_to = _among(calibration, streams)
    ranks = _ranks(streams)
    for t in range(1, steps):
        earlier, now = ranks[:t], ranks[t]
        below[:, t] += np.add.reduce(earlier < now, 0, dtype=ranks.dtype)
        up_to[:, t] += np.add.reduce(earlier <= now, 0, dtype=ranks.dtype)
    draws = (
        np.random.Generator(np.random.PCG64(seed + k)).random(steps)
        for k in range(count)
    )
    u = 1 - np.stack(list(draws))
    return (below + u * (up_to - below + 1)) / (n + np.arange(1, steps + 1))


def fixed_p(calibration: np.ndarray, streams: np.ndarray, delta: float) -> np.ndarray:
    """p-values `[S, T]` among calibration scores alone, which Simes' table corrects."""
    _, up_to = _among(calibration, streams)
    return simes(calibration.shape[1], delta)[up_to]


def _ranks(streams: np.ndarray) -> np.ndarray:
    """Ranks of scores in their stream, equal ones alike, `[T, S]`: small and fast."""
    order = np.argsort(streams, 1)
    ordered = np.take_along_axis(streams, order, 1)
    steps = np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0
    ranks = np.empty(streams.shape, np.int16 if streams.shape[1] < 2**15 else np.int64)
    np.put_along_axis(ranks, order, np.cumsum(steps, 1).astype(ranks.dtype), 1)
    return np.ascontiguousarray(ranks.T)


def _among(calibration, streams) -> tuple[np.ndarray, np.ndarray]:
    """Calibration scores below each score, and up to it: integers `[S, T]`."""
    below, up_to = np.empty((2, *streams.shape), np.int64)
    for k, ordered in enumerate(np.sort(calibration, 1)):
        below[k] = np.searchsorted(ordered, streams[k], side="left")
        up_to[k] = np.searchsorted(ordered, streams[k], side="right")
    return below, up_to


def power_wealth(p: np.ndarray) -> np.ndarray:
    """Log-wealth `[S, T]` of the library's power bets on p-values `[S, T]`."""
    e = np.array(POWERS)
    return _wealth(p, lambda column: e * column ** (e - 1), len(e))


def jumper_wealth(p: np.ndarray) -> np.ndarray:
    """Log-wealth `[S, T]` of the library's Simple Jumper."""
    e = np.array(TILTS)
    return _wealth(p, lambda column: 1 + e * (column - 0.5), len(e))


def mean_wealth(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`log((e^a + e^b) / 2)`."""
    return np.logaddexp(a, b) - math.log(2)


def _wealth(p: np.ndarray, payoffs, bets: int) -> np.ndarray:
    shares = np.full((len(p), bets), 1 / bets)
    won = np.empty_like(p)
    for t in range(p.shape[1]):
        staked = ((1 - JUMP) * shares + JUMP / bets) * payoffs(p[:, t : t + 1])
        won[:, t] = staked.sum(1)
        shares = staked / won[:, t : t + 1]
    return np.cumsum(np.log(won), 1)


def cusum(log_wealth: np.ndarray) -> np.ndarray:
    """Log of the statistic `max(1, R) x bet`, `[S, T]`."""
    gains = np.diff(log_wealth, axis=1, prepend=0.0)
    statistic = np.zeros(len(gains))
    found = np.empty_like(gains)
    for t in range(gains.shape[1]):
        statistic = np.maximum(0.0, statistic) + gains[:, t]
        found[:, t] = statistic
    return found


def first_alarm(log_values: np.ndarray, threshold: float) -> np.ndarray:
    """The step, 1 the first, at which each stream reaches a threshold; 0 for never."""
    rung = log_values >= math.log(threshold)
    return np.where(rung.any(1), rung.argmax(1) + 1, 0)


def window_p(calibration: np.ndarray, streams: np.ndarray, window: int) -> np.ndarray:
    """p-values `[S, K]` of K windows by the two-sample Kolmogorov-Smirnov test.

    Asymptotic ones, as of `scipy.stats.ks_2samp`; what is left of a stream after the
    last whole window is not looked at.
    """
    n, looks = calibration.shape[1], streams.shape[1] // window
    statistics = np.empty((len(streams), looks))
    for k, ordered in enumerate(np.sort(calibration, 1)):
        x = np.sort(streams[k, : looks * window].reshape(looks, window), 1)
        difference = 0.0
        for side in ("left", "right"):
            # a window's own function just before and at each of its scores
            own = np.stack([np.searchsorted(w, w, side=side) for w in x]) / window
            known = np.searchsorted(ordered, x, side=side) / n
            difference = np.maximum(difference, np.abs(own - known).max(1))
        statistics[k] = difference
    values, at = np.unique(statistics, return_inverse=True)
    effective = round(n * window / (n + window))
    p = np.array([_tail(float(value), effective) for value in values])
    return p[at].reshape(statistics.shape)


@cache
def _tail(statistic: float, effective: int) -> float:
    """P(KS statistic of so many scores >= statistic): slow, and of few numbers."""
    from scipy.stats import kstwo

    return float(np.clip(kstwo.sf(statistic, effective), 0, 1))


def first_window(p: np.ndarray, level: float, window: int) -> np.ndarray:
    """The step at which the first window of p <= level ends; 0 for never."""
    rung = p <= level
    return np.where(rung.any(1), (rung.argmax(1) + 1) * window, 0)

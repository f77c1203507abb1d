"""A stream whose optics change: when the monitor rings, and what new pairs mend."""

from typing import Protocol

import numpy as np
from ml_collections import ConfigDict

from experiments.reconstruct.measures import psnr, share_of
from experiments.reconstruct.pairs import Images, Pairs, pairs
from flowjax_ood import ood

# orders of the stream's scores, for the delay of an alarm
ORDERS = 100


class Reconstructing(Protocol):
    """What scores pairs, and makes volumes of measurements."""

    def score(self, pairs: Pairs) -> np.ndarray: ...

    def reconstruct(self, y: np.ndarray) -> np.ndarray: ...


def stream_pairs(images: Images, config: ConfigDict) -> dict[str, Pairs]:
    """Pairs of the stream: `before` the change and `after` it, and what is gathered.

    `adapt` and `recalibrate` are of the new optics, and of images of their own.
    """
    c = config.light_field
    own, new = {"scale": 1.0}, {"scale": c.other_scale}
    kinds = {
        "before": ("stream", c.stream_before, own, 0),
        "after": ("stream", c.stream_after, new, 1),
        "adapt": ("adapt", c.adapt_pairs, new, 0),
        "recalibrate": ("recalibrate", c.recalibrate_pairs, new, 0),
    }
    return {
        name: pairs(
            images.roles[role], role, count, config, number=10 * number, **optics
        )
        for name, (role, count, optics, number) in kinds.items()
    }


def watch(
    calibration: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    config: ConfigDict,
) -> dict:
    """Bet on the scores of a stream, `before` then `after` the change.

    `log10_wealth` by step; `alarm_at`, the step that rang, None for none; and of
    `ORDERS` random orders on each side of the change: the share of alarms before it,
    and of the others the median delay, None where most missed it.
    """
    monitor = _monitor(config)
    state = monitor.start(calibration)
    _, report = monitor.update(state, np.concatenate([before, after]))
    rng = np.random.default_rng(config.seed)
    early, delays = 0, []
    for _ in range(ORDERS):
        order = rng.permutation(before), rng.permutation(after)
        _, of = monitor.update(state, np.concatenate(order))
        if of.alarm_at is not None and of.alarm_at <= len(before):
            early += 1
        else:
            late = np.inf if of.alarm_at is None else of.alarm_at - len(before)
            delays.append(late)
    median = float(np.median(delays)) if delays else np.inf
    return {
        "log10_wealth": _log10(report.log_wealth),
        "alarm_at": report.alarm_at,
        "orders": ORDERS,
        "early": early / ORDERS,
        "missed": float(np.mean(np.isinf(delays))) if delays else None,
        "median_delay": median if np.isfinite(median) else None,
    }


def mended(
    of: Reconstructing,
    calibration: np.ndarray,
    stream: dict[str, Pairs],
    old: Pairs,
    config: ConfigDict,
) -> dict:
    """Measure `of` on the new optics, and on the old ones, which it may forget.

    `p_old`: of p-values by the calibration scores that the alarm came from; `p_new`: by
    scores of the `recalibrate` pairs. Each has the share of p <= 0.05; `same`, the
    p-value of a Kolmogorov-Smirnov test of two samples, that scores and calibration
    have one law, and p-values a uniform one; and of a monitor that starts anew with
    that calibration `log10_wealth` by step and `alarm_at`.
    """
    from scipy import stats

    after, monitor = stream["after"], _monitor(config)
    scores = of.score(after)
    fresh = of.score(stream["recalibrate"])
    found = {}
    for name, known in (("p_old", calibration), ("p_new", fresh)):
        fitted = ood.Calibration.fit(known)
        # not of the p-values, which few calibration scores make uneven in common
        same = stats.ks_2samp(scores, known)
        _, report = monitor.update(monitor.start(known), scores)
        found[name] = {
            "found": share_of(fitted.p_values(scores)),
            "same": float(same.pvalue),
            "log10_wealth": _log10(report.log_wealth),
            "alarm_at": report.alarm_at,
        }
    return found | {
        "psnr": psnr(of.reconstruct(after.y), after.x),
        "psnr_old_optics": psnr(of.reconstruct(old.y), old.x),
        "mean_log_prob": float(scores.mean()),
    }


def _monitor(config: ConfigDict) -> ood.DriftMonitor:
    return ood.DriftMonitor(alarm=config.light_field.alarm, seed=config.seed)


def _log10(log_wealth: np.ndarray) -> list[float]:
    return np.round(log_wealth / np.log(10), 3).tolist()

"""A detector's row: false alarms, delays and misses of every monitor."""

from argparse import Namespace

import numpy as np

from experiments.core.kept_scores import KeptScores
from experiments.drift import monitors
from experiments.drift.streams import NONE, Change, Streams, changes, draw
from flowjax_ood import ood

# of a fixed reference, paid for calibration sets that are not typical
DELTA = 0.05
# of the baselines, for all looks together or for each
LEVEL = 0.05
# CUSUM's second threshold, in units of the first
HIGHER = 100
# of curves: the steps between two points, and the quantiles
EVERY, QUANTILES = 10, (0.1, 0.5, 0.9)
CURVES = 4

FIXED, KS, KS_EACH = "power, fixed + Simes", "KS, corrected", "KS, uncorrected"
POWER, JUMPER, BOTH = "power", "jumper", "both"


def row(name: str, kept: KeptScores, args: Namespace) -> dict:
    """Measure all monitors on all changes of a detector."""
    listed = changes(kept, name)
    found: dict[str, dict[str, dict]] = {}
    curves: dict[str, list] = {}
    for change in listed:
        streams = _drawn(kept, name, change, args)
        alarms, wealth = _alarms(streams, args)
        for monitor, at in alarms.items():
            of = found.setdefault(monitor, {})
            of[change.name] = summary(at, None if change.name == NONE else args.change)
        if len(curves) < CURVES:
            quantiles = np.quantile(wealth[:, EVERY - 1 :: EVERY], QUANTILES, axis=0)
            curves[change.name] = np.round(quantiles / np.log(10), 3).tolist()
    limits = bounds(args)
    scores = kept.detectors[name]
    own = scores[kept.id_name]
    sets = [n for n in (*kept.outliers, *kept.corrupted(name)) if n in scores]
    return {
        "name": name,
        "auroc": {n: ood.auroc(own, scores[n]).value for n in sets},
        "monitors": {
            monitor: {
                "bound": limits[monitor],
                "false_alarms": of[NONE]["alarms"],
                "changes": {n: s for n, s in of.items() if n != NONE},
            }
            for monitor, of in found.items()
        },
        "curves": curves,
    }


def _drawn(kept: KeptScores, name: str, change: Change, args: Namespace) -> Streams:
    return draw(
        kept,
        name,
        change,
        args.streams,
        args.calibrate,
        args.steps,
        args.change,
        args.seed,
    )


def _alarms(streams: Streams, args: Namespace) -> tuple[dict, np.ndarray]:
    """`{monitor: step of the first alarm [S], 0 for none}`, and power's log-wealth."""
    p = monitors.growing_p(*streams, args.seed)
    power, jumper = monitors.power_wealth(p), monitors.jumper_wealth(p)
    fixed = monitors.power_wealth(monitors.fixed_p(*streams, DELTA))
    restarted = monitors.cusum(power)
    alarms = {
        POWER: monitors.first_alarm(power, args.alarm),
        JUMPER: monitors.first_alarm(jumper, args.alarm),
        BOTH: monitors.first_alarm(monitors.mean_wealth(power, jumper), args.alarm),
        FIXED: monitors.first_alarm(fixed, args.alarm),
    }
    for times in (1, HIGHER):
        name = cusum_name(args.alarm * times)
        alarms[name] = monitors.first_alarm(restarted, args.alarm * times)
    if looks := args.steps // args.window:
        tests = monitors.window_p(*streams, args.window)
        alarms[KS] = monitors.first_window(tests, LEVEL / looks, args.window)
        alarms[KS_EACH] = monitors.first_window(tests, LEVEL, args.window)
    return alarms, power


def cusum_name(threshold: float) -> str:
    """The name of CUSUM of power bets."""
    return f"CUSUM at {threshold:,g}"


def bounds(args: Namespace) -> dict[str, float | None]:
    """What is promised of false alarms within a stream; None for nothing.

    CUSUM's: T starts, of each of which the wealth reaches a threshold with probability
    1 / threshold at most.
    """
    plain = 1 / args.alarm
    limits = {POWER: plain, JUMPER: plain, BOTH: plain, FIXED: plain + DELTA}
    for times in (1, HIGHER):
        threshold = args.alarm * times
        limit = args.steps / threshold
        limits[cusum_name(threshold)] = limit if limit < 1 else None
    return limits | {KS: LEVEL, KS_EACH: None}


def summary(at: np.ndarray, change: int | None) -> dict:
    """Shares and delays of first alarms at steps `at [S]`, 0 for none.

    `alarms`: of all streams. With a change after that step: `early`, alarms before it,
    and of the others the share `missed` and the median delay, None where most missed.
    """
    result = {"alarms": float((at > 0).mean())}
    if change is None:
        return result
    early = (at > 0) & (at <= change)
    later = at[~early].astype(float)
    delays = np.where(later > 0, later - change, np.inf)
    median = float(np.median(delays)) if len(delays) else np.inf
    return result | {
        "early": float(early.mean()),
        "missed": float(np.isinf(delays).mean()) if len(delays) else None,
        "median_delay": median if np.isfinite(median) else None,
    }

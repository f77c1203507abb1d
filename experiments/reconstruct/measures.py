"""Scores into numbers: who is told from the test pairs, on which side, and PSNR."""

import numpy as np

from flowjax_ood import ood
from flowjax_ood.interface.errors import UserError

# of which false alarms are counted
ALPHA = 0.05


def psnr(found: np.ndarray, volumes: np.ndarray) -> float:
    """`-10 log10 mean |found - volumes|^2`, dB of a peak of 1, over all voxels."""
    return float(-10 * np.log10(np.mean((found - volumes) ** 2, dtype=np.float64)))


def certificate(name: str, scores: dict[str, np.ndarray], test: str) -> dict:
    """Measure how well a score tells every set from the test pairs.

    `scores`: `{set: [N]}`, with "calibration" and the set `test` among them. Of every
    other set: AUROC of the score, and of the two-sided p-value, each with its 95 %
    interval; `found` and `found_two_sided`, the share of pairs with p <= `ALPHA`.
    `promised`: the expected share of the test pairs, and where it is for 95 % of
    calibration and test pairs (`promised_share`).
    Raises UserError for scores that are not finite.
    """
    for of, values in scores.items():
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise UserError(
                f"{name} scores pair {row} of {of!r} as {values[row]}: training went "
                "astray; set config.light_field.learning_rate to less"
            )
    sides = {
        side: ood.Calibration.fit(scores["calibration"], side=side)
        for side in ("low", "two")
    }
    p = {
        side: {n: of.p_values(s) for n, s in scores.items() if n != "calibration"}
        for side, of in sides.items()
    }
    sets = {}
    for other in p["low"]:
        if other == test:
            continue
        areas = {
            "auroc": ood.auroc(scores[test], scores[other]),
            "auroc_two_sided": ood.auroc(p["two"][test], p["two"][other]),
        }
        sets[other] = {
            **{k: [a.value, a.low, a.high] for k, a in areas.items()},
            "found": share_of(p["low"][other]),
            "found_two_sided": share_of(p["two"][other]),
        }
    return {
        "name": name,
        "false_alarms": {side: share_of(of[test]) for side, of in p.items()},
        "promised": {
            side: promised_share(of, len(scores[test])) for side, of in sides.items()
        },
        "sets": sets,
    }


def promised_share(calibration: ood.Calibration, count: int) -> list[float]:
    """`[expected, low, high]`: the share of `count` new pairs with p <= `ALPHA`.

    The rate given n calibration scores is of the law Beta(k, n + 1 - k), of mean
    k / (n + 1) (`Calibration.false_alarms`), so the number of `count` pairs is
    beta-binomial: both draw anew. low and high hold 95 % or more of it.
    """
    rate = calibration.false_alarms(ALPHA).value
    ends = len(calibration) + 1
    k = round(rate * ends)
    if k in (0, ends):
        return [rate, rate, rate]
    from scipy import stats

    low, high = stats.betabinom(count, k, ends - k).ppf([0.025, 0.975]) / count
    return [rate, float(low), float(high)]


def share_of(p: np.ndarray) -> float:
    """The share of p-values of at most `ALPHA`."""
    return float(np.mean(p <= ALPHA))

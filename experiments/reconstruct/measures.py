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
    promised = {
        name: sides[side].false_alarms(ALPHA)
        for name, side in (("low", "low"), ("two", "two"))
    }
    return {
        "name": name,
        "false_alarms": {side: share_of(of[test]) for side, of in p.items()},
        "promised": {k: [e.value, e.low, e.high] for k, e in promised.items()},
        "sets": sets,
    }


def share_of(p: np.ndarray) -> float:
    """The share of p-values of at most `ALPHA`."""
    return float(np.mean(p <= ALPHA))

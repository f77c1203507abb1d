"""A classifier that may abstain: errors it is allowed, and errors it makes."""

from collections.abc import Sequence

import numpy as np

from experiments.core.kept_scores import KeptScores
from experiments.decide.measures import Split
from flowjax_ood import ood

ALPHA = 0.02


def abstention(name: str, kept: KeptScores, drawn: Sequence[Split]) -> dict:
    """P(accepted and wrong), and coverage, of every set; allowed is `ALPHA`.

    The bound holds for images like those of calibration. Corrupted images and outliers
    are not: theirs show what is left of it. Of corrupted copies, those of images that
    calibrate are left out. A class given to an outlier is wrong.
    """
    scores, labels = kept.detectors[name], kept.labels
    assert labels is not None  # the command has looked
    own, predicted = scores[kept.id_name], kept.predicted
    wrong = predicted[kept.id_name] != labels
    found: dict[str, list] = {}
    for calibrate, test in drawn:
        threshold = ood.abstain(own[calibrate], wrong[calibrate], ALPHA).threshold
        found.setdefault(kept.id_name, []).append(
            _rates(own[test] > threshold, wrong[test])
        )
        for n in kept.corrupted(name):
            if n not in predicted:
                continue
            rows = np.setdiff1d(np.arange(len(scores[n])), calibrate)
            rates = _rates(
                scores[n][rows] > threshold, predicted[n][rows] != labels[rows]
            )
            found.setdefault(n, []).append(rates)
        for n in kept.outliers:
            if n in scores:
                accepted = scores[n] > threshold
                found.setdefault(n, []).append(
                    _rates(accepted, np.full(len(accepted), True))
                )
    means = {n: np.mean(rates, 0).tolist() for n, rates in found.items()}
    keys = ("wrong", "accepted", "accepted_and_wrong")
    return {
        "detector": name,
        "alpha": ALPHA,
        "sets": {n: dict(zip(keys, values)) for n, values in means.items()},
    }


def _rates(accepted: np.ndarray, wrong: np.ndarray) -> tuple[float, float, float]:
    return wrong.mean(), accepted.mean(), (accepted & wrong).mean()

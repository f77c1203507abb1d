"""Score lists and metrics that the metric tests share."""

from functools import partial

import numpy as np
import pytest

from flowjax_ood.ood import aupr, auroc, detection_accuracy, fpr_at_tpr

# The worked example of the FSSD convention: sorted, the classes read I I O I O.
HAND_ID, HAND_OOD = [0.9, 0.8, 0.4], [0.7, 0.3]

# Fewer replicates than the default, for speed.
step = partial(aupr, n_boot=200)
trapezoid = partial(aupr, interpolation="trapezoid", n_boot=200)
fpr95 = partial(fpr_at_tpr, n_boot=200)
METRICS = {
    "auroc": auroc,
    "aupr step id": partial(step, positive="id"),
    "aupr step ood": partial(step, positive="ood"),
    "aupr trapezoid id": partial(trapezoid, positive="id"),
    "aupr trapezoid ood": partial(trapezoid, positive="ood"),
    "aupr anchored id": partial(
        aupr, interpolation="anchored", n_boot=200, positive="id"
    ),
    "fpr at tpr id": partial(fpr95, positive="id"),
    "fpr at tpr ood": partial(fpr95, positive="ood"),
    "detection accuracy": partial(detection_accuracy, n_boot=200),
}
ALL_METRICS = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def continuous(rng):
    return rng.normal(0.7, 1.0, 83), rng.normal(0.0, 1.3, 131)


def heavy_ties(rng):
    return rng.integers(2, 9, 150).astype(float), rng.integers(0, 7, 90).astype(float)


def narrow_float32(rng):
    """Scores a few float32 steps apart near 1000, as log-likelihoods come."""
    steps = np.float32(1000.0) * np.finfo(np.float32).eps
    draws = rng.integers(1, 12, 120), rng.integers(0, 9, 70)
    return tuple((np.float32(1000.0) + d * steps).astype(np.float32) for d in draws)


def infinite(rng):
    id_scores, ood_scores = heavy_ties(rng)
    id_scores[:20], id_scores[20:25] = np.inf, -np.inf
    ood_scores[:10], ood_scores[10:30] = np.inf, -np.inf
    return id_scores, ood_scores


def reversed_order(rng):
    """A score that prefers OOD images, as flow likelihoods do."""
    return continuous(rng)[::-1]


def unequal_sizes(rng):
    return rng.normal(1.0, 1.0, 7), rng.normal(0.0, 1.0, 400).round(1)


CASES = [
    continuous,
    heavy_ties,
    narrow_float32,
    infinite,
    reversed_order,
    unequal_sizes,
]
DATA = pytest.mark.parametrize("draw", CASES, ids=lambda case: case.__name__)

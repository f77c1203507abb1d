"""Out-of-distribution detection: scores, detectors, metrics, calibration.

Scores are higher for more in-distribution input, everywhere.
"""

from flowjax_ood.ood.intervals import Estimate, mean_ci
from flowjax_ood.ood.mahalanobis import Mahalanobis
from flowjax_ood.ood.metrics import (
    aupr,
    auroc,
    detection_accuracy,
    fpr_at_tpr,
    roc_curve,
)
from flowjax_ood.ood.nearest_neighbors import NearestNeighbors

__all__ = [
    "Estimate",
    "Mahalanobis",
    "NearestNeighbors",
    "aupr",
    "auroc",
    "detection_accuracy",
    "fpr_at_tpr",
    "mean_ci",
    "roc_curve",
]

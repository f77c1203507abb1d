"""Out-of-distribution detection: scores, detectors, metrics, calibration.

Scores are higher for more in-distribution input, everywhere.
"""

from flowjax_ood.ood.batched import spread
from flowjax_ood.ood.detector import Detector, Fitted, Given, Requires
from flowjax_ood.ood.ensembles import DeepEnsemble, MCDropout
from flowjax_ood.ood.feature_detectors import (
    FDBD,
    KNN,
    SHE,
    GradNorm,
    MahalanobisFeatures,
    NNGuide,
    RelativeMahalanobis,
    ViM,
)
from flowjax_ood.ood.fssd import FSSD
from flowjax_ood.ood.intervals import Estimate, mean_ci
from flowjax_ood.ood.logit_detectors import (
    GEN,
    MSP,
    Energy,
    Entropy,
    KLMatching,
    MaxLogit,
)
from flowjax_ood.ood.mahalanobis import Mahalanobis
from flowjax_ood.ood.mahalanobis_layers import MahalanobisLayers
from flowjax_ood.ood.metrics import (
    aupr,
    auroc,
    detection_accuracy,
    fpr_at_tpr,
    roc_curve,
)
from flowjax_ood.ood.nearest_neighbors import NearestNeighbors
from flowjax_ood.ood.network import Network, Outputs
from flowjax_ood.ood.odin import ODIN
from flowjax_ood.ood.shaping_detectors import ASH, DICE, SCALE, ReAct

__all__ = [
    "ASH",
    "DICE",
    "FDBD",
    "FSSD",
    "GEN",
    "KNN",
    "MSP",
    "ODIN",
    "SCALE",
    "SHE",
    "DeepEnsemble",
    "Detector",
    "Energy",
    "Entropy",
    "Estimate",
    "Fitted",
    "Given",
    "GradNorm",
    "KLMatching",
    "MCDropout",
    "Mahalanobis",
    "MahalanobisFeatures",
    "MahalanobisLayers",
    "MaxLogit",
    "NNGuide",
    "NearestNeighbors",
    "Network",
    "Outputs",
    "ReAct",
    "RelativeMahalanobis",
    "Requires",
    "ViM",
    "aupr",
    "auroc",
    "detection_accuracy",
    "fpr_at_tpr",
    "mean_ci",
    "roc_curve",
    "spread",
]

"""Out-of-distribution detection: scores, detectors, metrics, calibration.

Scores are higher for more in-distribution input, everywhere.
"""

from flowjax_ood.ood.batched import spread
from flowjax_ood.ood.calibration import Calibrated, Calibration
from flowjax_ood.ood.context import Context, ContextModel
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.detectors.adascale import AdaSCALE
from flowjax_ood.ood.detectors.ensembles import Coherence, DeepEnsemble, MCDropout
from flowjax_ood.ood.detectors.features import (
    FDBD,
    KNN,
    SHE,
    GradNorm,
    MahalanobisFeatures,
    NNGuide,
    RelativeMahalanobis,
    ViM,
)
from flowjax_ood.ood.detectors.fssd import FSSD
from flowjax_ood.ood.detectors.gradients import GradUncertainty, GrOOD
from flowjax_ood.ood.detectors.gram import Gram
from flowjax_ood.ood.detectors.iodin import IODIN
from flowjax_ood.ood.detectors.joint import JointDensity
from flowjax_ood.ood.detectors.logits import (
    GEN,
    MSP,
    Energy,
    Entropy,
    KLMatching,
    MaxLogit,
)
from flowjax_ood.ood.detectors.mahalanobis_layers import MahalanobisLayers
from flowjax_ood.ood.detectors.mixtures import GMM
from flowjax_ood.ood.detectors.nac import NACUE
from flowjax_ood.ood.detectors.odin import ODIN
from flowjax_ood.ood.detectors.openmax import OpenMax
from flowjax_ood.ood.detectors.rankfeat import RankFeat
from flowjax_ood.ood.detectors.rectified import VRA
from flowjax_ood.ood.detectors.reference_sets import CFOOD, Relation
from flowjax_ood.ood.detectors.regret import PNML
from flowjax_ood.ood.detectors.relative_features import NCI, CADRef, CARef
from flowjax_ood.ood.detectors.shaping import ASH, DICE, SCALE, ReAct
from flowjax_ood.ood.detectors.subspaces import NECO, Residual
from flowjax_ood.ood.detectors.temperatures import LTS, TempScale
from flowjax_ood.ood.detectors.unit_mahalanobis import (
    MahalanobisPlusPlus,
    RelativeMahalanobisPlusPlus,
)
from flowjax_ood.ood.detectors.weiper import WeiPer
from flowjax_ood.ood.drift import DriftMonitor, DriftReport, DriftState
from flowjax_ood.ood.explanations import explanation
from flowjax_ood.ood.flows.background import BackgroundRatio
from flowjax_ood.ood.flows.code_lengths import code_length
from flowjax_ood.ood.flows.combined import Combined
from flowjax_ood.ood.flows.complexity import (
    CodeLength,
    ComplexityMixture,
    InputComplexity,
)
from flowjax_ood.ood.flows.controls import PPCA, MeanIntensity
from flowjax_ood.ood.flows.dose import DoSE
from flowjax_ood.ood.flows.ensemble import WAIC
from flowjax_ood.ood.flows.feature_scores import FeatureScore
from flowjax_ood.ood.flows.gradients import (
    GradientNorms,
    RaoScore,
    rao_and_typicality,
)
from flowjax_ood.ood.flows.groups import GroupTypicality, group_typicality
from flowjax_ood.ood.flows.input_gradients import InputGradients
from flowjax_ood.ood.flows.latent_tests import (
    KLODS,
    SITN,
    AndersonDarling,
    LatentSpread,
    SpectrumVariation,
)
from flowjax_ood.ood.flows.likelihood import (
    LatentLikelihood,
    LogDeterminant,
    LogLikelihood,
    ScaleLikelihood,
    Typicality,
)
from flowjax_ood.ood.flows.likelihood_map import LikelihoodMap
from flowjax_ood.ood.flows.lists import flow_only, no_flow, poses, v1
from flowjax_ood.ood.flows.local_dimension import LocalDimension
from flowjax_ood.ood.flows.neighbours import ClusteredGaussians, NeighbourDistance
from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.poses import PoseContrast
from flowjax_ood.ood.flows.projections import ProjectionTest
from flowjax_ood.ood.flows.reconstruction import Reconstruction
from flowjax_ood.ood.flows.regret import LikelihoodRegret
from flowjax_ood.ood.flows.score import FlowScore
from flowjax_ood.ood.flows.stability import Stability
from flowjax_ood.ood.flows.subspaces import SubspaceDistance, SubspaceResidual
from flowjax_ood.ood.flows.two_sided import TwoSided
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.intervals import Estimate, mean_ci
from flowjax_ood.ood.mahalanobis import Mahalanobis
from flowjax_ood.ood.metrics import (
    aupr,
    auroc,
    detection_accuracy,
    fpr_at_tpr,
    roc_curve,
    threshold,
)
from flowjax_ood.ood.monitor import Monitor, Verdict
from flowjax_ood.ood.nearest_neighbors import NearestNeighbors
from flowjax_ood.ood.network import Network, Outputs
from flowjax_ood.ood.p_values import combine_p, high_p, low_p, two_sided_p
from flowjax_ood.ood.paired import auroc_difference, placements
from flowjax_ood.ood.rejection import Rejections, reject
from flowjax_ood.ood.risk import RiskControl, abstain, control_risk
from flowjax_ood.ood.shift import Shift, shift_test
from flowjax_ood.ood.streaming import fit_stream
from flowjax_ood.ood.tuned import Tuned

__all__ = [
    "ASH",
    "CFOOD",
    "DICE",
    "FDBD",
    "FSSD",
    "GEN",
    "GMM",
    "IODIN",
    "KLODS",
    "KNN",
    "LTS",
    "MSP",
    "NACUE",
    "NCI",
    "NECO",
    "ODIN",
    "PNML",
    "PPCA",
    "SCALE",
    "SHE",
    "SITN",
    "VRA",
    "WAIC",
    "AdaSCALE",
    "AndersonDarling",
    "BackgroundRatio",
    "CADRef",
    "CARef",
    "Calibrated",
    "Calibration",
    "ClusteredGaussians",
    "CodeLength",
    "Coherence",
    "Combined",
    "ComplexityMixture",
    "Context",
    "ContextModel",
    "DeepEnsemble",
    "Detector",
    "DoSE",
    "DriftMonitor",
    "DriftReport",
    "DriftState",
    "Energy",
    "Entropy",
    "Estimate",
    "FeatureScore",
    "Fitted",
    "FlowOutputs",
    "FlowScore",
    "Given",
    "GrOOD",
    "GradNorm",
    "GradUncertainty",
    "GradientNorms",
    "Gram",
    "GroupTypicality",
    "InputComplexity",
    "InputGradients",
    "JointDensity",
    "KLMatching",
    "LatentLikelihood",
    "LatentSpread",
    "LikelihoodMap",
    "LikelihoodRegret",
    "LocalDimension",
    "LogDeterminant",
    "LogLikelihood",
    "MCDropout",
    "Mahalanobis",
    "MahalanobisFeatures",
    "MahalanobisLayers",
    "MahalanobisPlusPlus",
    "MaxLogit",
    "MeanIntensity",
    "Monitor",
    "NNGuide",
    "NearestNeighbors",
    "NeighbourDistance",
    "Network",
    "OpenMax",
    "Outputs",
    "PoseContrast",
    "ProjectionTest",
    "RankFeat",
    "RaoScore",
    "ReAct",
    "Reconstruction",
    "Rejections",
    "Relation",
    "RelativeMahalanobis",
    "RelativeMahalanobisPlusPlus",
    "Requires",
    "Residual",
    "RiskControl",
    "ScaleLikelihood",
    "ScoredFlow",
    "Shift",
    "SpectrumVariation",
    "Stability",
    "SubspaceDistance",
    "SubspaceResidual",
    "TempScale",
    "Tuned",
    "TwoSided",
    "Typicality",
    "Verdict",
    "ViM",
    "WeiPer",
    "abstain",
    "aupr",
    "auroc",
    "auroc_difference",
    "code_length",
    "combine_p",
    "control_risk",
    "detection_accuracy",
    "explanation",
    "fit_stream",
    "flow_only",
    "fpr_at_tpr",
    "group_typicality",
    "high_p",
    "low_p",
    "mean_ci",
    "no_flow",
    "placements",
    "poses",
    "rao_and_typicality",
    "reject",
    "roc_curve",
    "shift_test",
    "spread",
    "threshold",
    "two_sided_p",
    "v1",
]

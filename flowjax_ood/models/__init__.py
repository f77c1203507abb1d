"""Named flows, and the classifiers and the encoder whose features detectors take."""

from flowjax_ood.models.cifar_resnet import ResNet34
from flowjax_ood.models.class_conditional import class_conditional
from flowjax_ood.models.dequantization import variationally_dequantized
from flowjax_ood.models.efficientnet import EfficientNetLite0, encoder_images
from flowjax_ood.models.flow_pp import FlowPP
from flowjax_ood.models.glow import Glow
from flowjax_ood.models.guidance import drop_condition, guided_sample
from flowjax_ood.models.jet import Jet
from flowjax_ood.models.lenet import LeNet
from flowjax_ood.models.maf import IAF, MAF
from flowjax_ood.models.real_nvp import RealNVP, TabularRealNVP
from flowjax_ood.models.sequence_lstm import BiLSTM
from flowjax_ood.models.tarflow import TarFlow
from flowjax_ood.models.wavelet_flow import LevelLogProb, WaveletFlow

__all__ = [
    "IAF",
    "MAF",
    "BiLSTM",
    "EfficientNetLite0",
    "FlowPP",
    "Glow",
    "Jet",
    "LeNet",
    "LevelLogProb",
    "RealNVP",
    "ResNet34",
    "TabularRealNVP",
    "TarFlow",
    "WaveletFlow",
    "class_conditional",
    "drop_condition",
    "encoder_images",
    "guided_sample",
    "variationally_dequantized",
]

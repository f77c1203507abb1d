"""Named flows, and the encoder whose features they and detectors take."""

from flowjax_ood.models.efficientnet import EfficientNetLite0
from flowjax_ood.models.encoder_images import encoder_images
from flowjax_ood.models.glow import Glow
from flowjax_ood.models.real_nvp import RealNVP, TabularRealNVP

__all__ = [
    "EfficientNetLite0",
    "Glow",
    "RealNVP",
    "TabularRealNVP",
    "encoder_images",
]

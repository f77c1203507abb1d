"""Named flows."""

from flowjax_ood.models.glow import Glow
from flowjax_ood.models.real_nvp import RealNVP, TabularRealNVP

__all__ = ["Glow", "RealNVP", "TabularRealNVP"]

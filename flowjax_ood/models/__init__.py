"""Named flows."""

from flowjax_ood.models.real_nvp import RealNVP, TabularRealNVP

__all__ = ["RealNVP", "TabularRealNVP"]

"""Checkpoints of other code."""

from flowjax_ood.interop.architectures import ARCHITECTURES
from flowjax_ood.interop.original import load_original

__all__ = ["ARCHITECTURES", "load_original"]

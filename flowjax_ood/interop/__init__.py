"""Load checkpoints of other code: the paper's PyTorch flows, EfficientNet's weights."""

from flowjax_ood.interop.architectures import ARCHITECTURES
from flowjax_ood.interop.efficientnet import load_efficientnet_lite0
from flowjax_ood.interop.original import load_original
from flowjax_ood.interop.torch_checkpoint import read_state_dict, read_torch_checkpoint

__all__ = [
    "ARCHITECTURES",
    "load_efficientnet_lite0",
    "load_original",
    "read_state_dict",
    "read_torch_checkpoint",
]

"""st-networks: what a coupling computes its scale and shift with.

Any Flax module called as `net(x, features, cond=None)` will do; these are the paper's.
"""

from flowjax_ood.bound import Bound
from flowjax_ood.networks.autoencoder import Autoencoder
from flowjax_ood.networks.batch_norm import BatchNorm
from flowjax_ood.networks.causal_transformer import CausalTransformer
from flowjax_ood.networks.convnets import GlowConvNet, Highway
from flowjax_ood.networks.gated import GatedAttention, GatedConv, GatedConvNet
from flowjax_ood.networks.image_conditioned import ImageConditioned
from flowjax_ood.networks.layers import Conv, Dense, WNConv, weight_norm
from flowjax_ood.networks.made import MADE
from flowjax_ood.networks.mlp import MLP
from flowjax_ood.networks.resnet import ResidualBlock, ResNet, ResNetAE
from flowjax_ood.networks.transformer import TokenNetwork, Transformer
from flowjax_ood.networks.vit import ViT

__all__ = [
    "MADE",
    "MLP",
    "Autoencoder",
    "BatchNorm",
    "Bound",
    "CausalTransformer",
    "Conv",
    "Dense",
    "GatedAttention",
    "GatedConv",
    "GatedConvNet",
    "GlowConvNet",
    "Highway",
    "ImageConditioned",
    "ResNet",
    "ResNetAE",
    "ResidualBlock",
    "TokenNetwork",
    "Transformer",
    "ViT",
    "WNConv",
    "weight_norm",
]

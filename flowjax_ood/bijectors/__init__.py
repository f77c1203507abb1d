"""The algebra: each file holds a pure function pair and the Flax module around it."""

from flowjax_ood.bijectors.actnorm import ActNorm, actnorm_forward, actnorm_inverse
from flowjax_ood.bijectors.autoregressive import (
    Autoregressive,
    MaskedAffine,
    MaskedSpline,
    autoregressive_order,
)
from flowjax_ood.bijectors.base import (
    Bijector,
    Event,
    event_size,
    leaves,
    sum_event,
    walk,
)
from flowjax_ood.bijectors.causal_affine import CausalAffine, Guidance
from flowjax_ood.bijectors.combinators import Chain, FactorOut, Inverse
from flowjax_ood.bijectors.condition_affine import ConditionAffine
from flowjax_ood.bijectors.conv1x1 import InvertibleConv1x1, mix_channels
from flowjax_ood.bijectors.coupling import (
    AffineCoupling,
    Coupling,
    ShiftScaleCoupling,
    SigmoidCoupling,
    affine_forward,
    affine_inverse,
)
from flowjax_ood.bijectors.dequantization import VariationalDequantization
from flowjax_ood.bijectors.elementwise import ElementAffine, Exp, Softplus, Tanh
from flowjax_ood.bijectors.haar import Haar, haar_forward, haar_inverse
from flowjax_ood.bijectors.householder import Householder, reflect
from flowjax_ood.bijectors.logit import Logit, logit_forward, logit_inverse
from flowjax_ood.bijectors.mixture import (
    Mixture,
    MixtureCoupling,
    mixture_forward,
    mixture_inverse,
    mixture_parameters,
)
from flowjax_ood.bijectors.permutation import ChannelPermutation, permute
from flowjax_ood.bijectors.repeat import Repeat, stack_layers, unstack_layers
from flowjax_ood.bijectors.reshape import Patches, Reshape, Reverse
from flowjax_ood.bijectors.restack import restack, unstacked
from flowjax_ood.bijectors.spline import (
    SplineCoupling,
    spline_forward,
    spline_inverse,
    spline_knots,
)
from flowjax_ood.bijectors.squeeze import Squeeze, squeeze, unsqueeze

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "Autoregressive",
    "Bijector",
    "CausalAffine",
    "Chain",
    "ChannelPermutation",
    "ConditionAffine",
    "Coupling",
    "ElementAffine",
    "Event",
    "Exp",
    "FactorOut",
    "Guidance",
    "Haar",
    "Householder",
    "Inverse",
    "InvertibleConv1x1",
    "Logit",
    "MaskedAffine",
    "MaskedSpline",
    "Mixture",
    "MixtureCoupling",
    "Patches",
    "Repeat",
    "Reshape",
    "Reverse",
    "ShiftScaleCoupling",
    "SigmoidCoupling",
    "Softplus",
    "SplineCoupling",
    "Squeeze",
    "Tanh",
    "VariationalDequantization",
    "actnorm_forward",
    "actnorm_inverse",
    "affine_forward",
    "affine_inverse",
    "autoregressive_order",
    "event_size",
    "haar_forward",
    "haar_inverse",
    "leaves",
    "logit_forward",
    "logit_inverse",
    "mix_channels",
    "mixture_forward",
    "mixture_inverse",
    "mixture_parameters",
    "permute",
    "reflect",
    "restack",
    "spline_forward",
    "spline_inverse",
    "spline_knots",
    "squeeze",
    "stack_layers",
    "sum_event",
    "unsqueeze",
    "unstack_layers",
    "unstacked",
    "walk",
]

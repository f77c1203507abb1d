"""Base densities, and the flow: a bijector with a base density.

Densities are in nats with respect to the event's own units: for images, [0, 1)^D.
"""

from flowjax_ood.distributions.base_densities import (
    ConditionalNormal,
    StandardNormal,
    normal_log_prob,
    standard_normal_log_prob,
)
from flowjax_ood.distributions.class_conditional import (
    class_log_posterior,
    class_log_prob,
    marginal_log_prob,
    one_hot_condition,
)
from flowjax_ood.distributions.class_mixture import ClassMixture
from flowjax_ood.distributions.denoising import denoise
from flowjax_ood.distributions.flow import (
    Flow,
    LogProbParts,
    bits_per_dim,
    discrete_log_likelihood,
)

__all__ = [
    "ClassMixture",
    "ConditionalNormal",
    "Flow",
    "LogProbParts",
    "StandardNormal",
    "bits_per_dim",
    "class_log_posterior",
    "class_log_prob",
    "denoise",
    "discrete_log_likelihood",
    "marginal_log_prob",
    "normal_log_prob",
    "one_hot_condition",
    "standard_normal_log_prob",
]

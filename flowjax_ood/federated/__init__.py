"""Classifiers of clients that share parameters and no images, and outliers for them.

Each client knows a few classes. What other clients know is out of distribution for it,
and their averaged heads say where in feature space such classes are: a generator makes
features of them, and the tails of these are outliers that a client's head learns to be
unsure of. Source: Yu et al. 2023 (FOSTER).

One process visits the clients in turn; nothing here hides parameters or protects what
they say of images.
"""

from flowjax_ood.federated.averaging import average, mean_head
from flowjax_ood.federated.client_network import client_network
from flowjax_ood.federated.federation import Federation, FederationState
from flowjax_ood.federated.generator import FeatureGenerator, make_generator_step
from flowjax_ood.federated.objective import (
    VirtualOutliers,
    make_client_step,
)
from flowjax_ood.federated.partition import partition
from flowjax_ood.federated.rounds import Rounds, rounds
from flowjax_ood.federated.settings import Settings
from flowjax_ood.federated.tails import external_features, tail_features

__all__ = [
    "FeatureGenerator",
    "Federation",
    "FederationState",
    "Rounds",
    "Settings",
    "VirtualOutliers",
    "average",
    "client_network",
    "external_features",
    "make_client_step",
    "make_generator_step",
    "mean_head",
    "partition",
    "rounds",
    "tail_features",
]

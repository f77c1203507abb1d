"""An ensemble that answers each query by one of its members."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flowjax_ood.defence.answers import (
    Output,
    answer,
    check_output,
    classes_of,
    logits_of_queries,
)
from flowjax_ood.defence.routes import Route
from flowjax_ood.ood.network import Network


@dataclass(frozen=True, eq=False)
class Served:
    """Members of an ensemble behind one function: `predict(x)`, of one member each.

    `networks`: as `DiverseMembers.networks` gives them, of the same classes; one alone
    is a classifier without defence, to compare with. `route`: `Keyed(secret)` or
    `Perceptual(network)`, or another `Route`. What a query is answered depends on it
    alone, not on what it comes with, nor in which order.

    This is no security guarantee: see the package.

    Raises TypeError for what are no networks and no route, ValueError for none.
    """

    networks: Sequence[Network] = field(repr=False)
    route: Route

    def __post_init__(self):
        networks = self.networks
        if isinstance(networks, Network):
            networks = (networks,)
        networks = tuple(networks)
        for network in networks:
            if not isinstance(network, Network):
                raise TypeError(
                    f"Served takes Networks, got {type(network).__name__}: of trained "
                    "members, ensemble.networks(variables)"
                )
        if not networks:
            raise ValueError("Served needs a network or more, got none")
        if not callable(self.route):
            raise TypeError(
                f"the route must be a function, got {type(self.route).__name__}: "
                "Keyed(secret) or Perceptual(network)"
            )
        object.__setattr__(self, "networks", networks)

    def member(self, x: np.ndarray) -> np.ndarray:
        """The number of the member that answers, int64 `[N]`.

        Raises ValueError for a route that gives anything else.
        """
        members = np.asarray(self.route(x, len(self.networks)))
        good = members.shape == (len(x),) and members.dtype.kind in "iu"
        if not good or not ((members >= 0) & (members < len(self.networks))).all():
            raise ValueError(
                f"the route must give [{len(x)}] numbers of members, 0 ... "
                f"{len(self.networks) - 1}; got {members.dtype} of shape "
                f"{members.shape}"
            )
        return members.astype(np.int64)

    def predict(self, x: np.ndarray, output: Output = "probabilities") -> np.ndarray:
        """Probabilities float32 `[N, C]`, or labels int64 `[N]`, of one member each.

        Raises ValueError for an unknown `output`, queries of a shape that the networks
        do not take, members of unequal classes, and logits that are NaN.
        """
        check_output(output)
        classes = [
            classes_of(network, x, _named(number))
            for number, network in enumerate(self.networks)
        ]
        if len(set(classes)) > 1:
            raise ValueError(f"members must have the same classes, got {classes}")
        members = self.member(x)
        logits = np.empty((len(x), classes[0]), np.float32)
        for number in np.unique(members):
            rows = members == number
            logits[rows] = logits_of_queries(
                self.networks[number], np.asarray(x)[rows], _named(number)
            )
        return answer(logits, output)


def _named(number) -> str:
    return f"member {number}"

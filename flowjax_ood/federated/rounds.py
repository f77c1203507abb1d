"""A whole federation: rounds from a start, or from a state that was kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import flax.linen as nn
import jax
import numpy as np

from flowjax_ood.federated.averaging import average
from flowjax_ood.federated.client_network import client_network
from flowjax_ood.federated.federation import Federation, FederationState
from flowjax_ood.federated.settings import Settings
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.progress import progress


@dataclass(frozen=True, eq=False)
class Rounds:
    """A trained federation. `log`: the metrics of each round that was trained here."""

    federation: Federation = field(repr=False)
    state: FederationState = field(repr=False)
    log: list[dict[str, float]]

    @property
    def clients(self) -> list[dict]:
        """The variables of every client."""
        count = len(self.federation.parts)
        return [{"params": self.state.params(c)} for c in range(count)]

    @property
    def server(self) -> dict:
        """Variables that are means over clients, private layers included."""
        sizes = [len(part) for part in self.federation.parts]
        return average(self.clients, sizes)[0]

    def network(self, client: int) -> Network:
        """A client's classifier; its logits are those of its own classes alone."""
        own = np.flatnonzero(self.federation.counts[client])
        return client_network(self.federation.module, self.state.params(client), own)


def rounds(
    module: nn.Module,
    parts: Sequence[np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    settings: Settings,
    key: jax.Array,
    *,
    start: FederationState | None = None,
    until: int | None = None,
    kept: Callable[[FederationState, dict], None] | None = None,
    label: str | None = None,
) -> Rounds:
    """Train classifiers of clients that share layers and no images.

    In each round, every client trains on its own examples, from the parameters that the
    server has averaged, and its own private layers. From round `settings.begin` on,
    heads also learn to be unsure of virtual outliers; with `outliers="generated"`,
    those of classes that a client has never seen, made by a generator which the server
    trains against the clients' heads (FOSTER). Source: Yu et al. 2023, "Turning the
    curse of heterogeneity in federated learning into a blessing for out-of-distribution
    detection".

    Args:
        module: as of `Federation`, so are the next five.
        parts: rows of each client.
        images: of all clients.
        labels: of the images.
        settings: how they are trained.
        key: of all randomness.
        start: a state to go on from, such as a kept one, or one of a federation with
            other outliers; the beginning where there is none.
        until: how many rounds to have in all, `settings.rounds` where it is None.
        kept: is given the state after each round and its metrics, to keep them.
        label: of the progress that is shown; None shows none.

    Raises ValueError as `Federation` does, for a start beyond `until`, and for `until`
    beyond all rounds; NonFiniteLossError, which names client and round.
    """
    federation = Federation(module, parts, images, labels, settings, key)
    last = settings.rounds if until is None else until
    state = federation.start() if start is None else start
    first = int(state.round)
    if not first <= last <= settings.rounds:
        raise ValueError(
            f"rounds {first} to {last} of {settings.rounds} cannot be trained: give a "
            "start that is earlier than until, and until of at most settings.rounds"
        )
    log = []
    with progress(label, last, "rounds", first) as shown:
        for number in range(first, last):
            state, metrics = federation.advance(state)
            log.append(metrics)
            if kept is not None:
                kept(state, metrics)
            shown.advance(number + 1, loss=f"{metrics['loss']:.3f}")
    return Rounds(federation, state, log)

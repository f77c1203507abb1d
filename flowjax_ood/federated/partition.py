"""Split a labelled set among clients that each know a few classes."""

import math

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.data.random import generator, permutation
from flowjax_ood.data.sets import class_labels

# a classifier of one class has nothing to learn
FEWEST_CLASSES = 2


def partition(
    labels: np.ndarray,
    clients: int = 10,
    classes_per_client: int | None = None,
    *,
    dirichlet: float | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """Every example belongs to exactly one client: int64 rows, ascending, of each.

    Exactly one of two ways:

    * `classes_per_client`: each client has exactly so many classes. Classes are put in
      random order and dealt in turn; the images of a class are shared evenly by the
      clients that have it;
    * `dirichlet`: of each class, the clients' shares are drawn from a symmetric
      Dirichlet distribution. The smaller this number, the fewer classes make up a
      client.

    A pure function of `(labels, seed)`. `labels` int `[N]`, 0, 1, ...

    Raises ValueError for both ways or none, more classes per client than there are, a
    class that no client would have, and a client that is left with fewer than two
    classes. Source: Yu et al. 2023, section 5; Hsu et al. 2019 for Dirichlet shares.
    """
    labels = class_labels(labels, 0 if labels is None else len(labels))
    clients = whole_number("clients", clients, 1)
    if (classes_per_client is None) == (dirichlet is None):
        raise ValueError(
            "give one of classes_per_client and dirichlet, got "
            f"classes_per_client={classes_per_client} and dirichlet={dirichlet}"
        )
    if dirichlet is None:
        assert classes_per_client is not None
        shares = _by_classes(labels, clients, classes_per_client, seed)
    else:
        shares = _by_dirichlet(labels, clients, dirichlet, seed)
    known = np.unique(labels)
    pieces: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for c, share in zip(known.tolist(), shares, strict=True):
        rows = np.flatnonzero(labels == c)
        rows = rows[permutation(len(rows), seed, "rows of a class", c)]
        # the first clients round up or down; all rows go to somebody
        ends = np.rint(np.cumsum(share) * len(rows)).astype(int)
        for own, piece in zip(pieces, np.split(rows, ends[:-1]), strict=True):
            own.append(piece)
    parts = [np.sort(np.concatenate(own)) for own in pieces]
    _check_classes(parts, labels, classes_per_client)
    return parts


def _by_classes(labels, clients: int, per_client: int, seed: int) -> np.ndarray:
    """Shares `[classes, clients]` of each class; rows sum to 1."""
    per_client = whole_number("classes_per_client", per_client, FEWEST_CLASSES)
    known = np.unique(labels)
    if per_client > len(known):
        raise ValueError(
            f"classes_per_client is {per_client}, and there are {len(known)} classes"
        )
    order = permutation(len(known), seed, "classes")
    has = np.zeros((len(known), clients))
    for client in range(clients):
        dealt = (client * per_client + np.arange(per_client)) % len(known)
        has[order[dealt], client] = 1
    nobody = known[has.sum(axis=1) == 0].tolist()
    if nobody:
        raise ValueError(
            f"{clients} clients of {per_client} classes leave out class "
            f"{', '.join(map(str, nobody))}: take at least "
            f"{-(-len(known) // per_client)} clients, or more classes each"
        )
    return has / has.sum(axis=1, keepdims=True)


def _by_dirichlet(labels, clients: int, concentration: float, seed: int) -> np.ndarray:
    if not 0 < concentration < math.inf:
        raise ValueError(f"dirichlet must be positive, got {concentration}")
    drawn = generator(seed, "shares of clients")
    count = len(np.unique(labels))
    return drawn.dirichlet(np.full(clients, concentration), size=count)


def _check_classes(parts: list, labels: np.ndarray, wanted: int | None) -> None:
    for client, part in enumerate(parts):
        count = len(np.unique(labels[part]))
        if count < (wanted or FEWEST_CLASSES):
            raise ValueError(
                f"client {client} is left with {count} of {wanted or FEWEST_CLASSES} "
                f"classes ({len(part)} examples): take fewer clients, a greater "
                "dirichlet, another seed, or more examples"
            )

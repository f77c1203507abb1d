"""Which member of an ensemble answers a query: a function of the query alone."""

import hashlib
from typing import Protocol

import numpy as np

from flowjax_ood.data.checks import among
from flowjax_ood.defence.answers import answer, logits_of_queries
from flowjax_ood.ood.network import Network

# bytes of a secret: fewer are guessed, and BLAKE2b takes no more
LEAST_BYTES, MOST_BYTES = 16, 64


class Route(Protocol):
    """`route(x [N, ...], members) -> int [N]`, each in 0 ... members - 1.

    The same query has the same member, whatever it comes with.
    """

    def __call__(self, x: np.ndarray, members: int) -> np.ndarray: ...


class Keyed:
    """Route by `BLAKE2b(uint8 pixels, key=secret) mod M`.

    Without the secret the member of an image is not told from chance; every member has
    1/M of all images. An image that differs by one level of one pixel has another
    member with probability 1 - 1/M, so an attacker who changes a query a little hears
    another member, and can average.

    The route holds the secret in no form that is shown or stored: it has no `repr`, and
    is neither pickled nor copied. Keep it where other secrets are, and not in a config
    or a checkpoint.

    Raises TypeError for a secret that is not bytes and, later, for images that are not
    uint8; ValueError for fewer than 16 bytes, and more than 64.
    """

    __slots__ = ("_hash",)

    def __init__(self, secret: bytes):
        if not isinstance(secret, bytes):
            raise TypeError(
                f"the secret must be bytes, got {type(secret).__name__}: "
                "secrets.token_bytes(32) makes one"
            )
        if not LEAST_BYTES <= len(secret) <= MOST_BYTES:
            raise ValueError(
                f"the secret must have {LEAST_BYTES} to {MOST_BYTES} bytes, got "
                f"{len(secret)}: secrets.token_bytes(32) makes one"
            )
        # has taken in the secret, which is kept nowhere else
        self._hash = hashlib.blake2b(key=secret, digest_size=8)

    def __call__(self, x: np.ndarray, members: int) -> np.ndarray:
        if getattr(x, "dtype", None) != np.uint8:
            raise TypeError(
                "a keyed route takes stored pixels, uint8, got "
                f"{getattr(x, 'dtype', type(x).__name__)}: of floats, rounding would "
                "choose the member"
            )
        return np.array([self._number(row) % members for row in x], np.int64)

    def _number(self, row) -> int:
        hashed = self._hash.copy()
        hashed.update(np.ascontiguousarray(row).tobytes())
        return int.from_bytes(hashed.digest(), "big")

    def __repr__(self):
        return "Keyed(<secret>)"

    def __reduce_ex__(self, protocol):
        raise TypeError(
            "a keyed route is not stored, for its secret: make it anew, Keyed(secret)"
        )


class Perceptual:
    """Route by the class c of a network of other data, and how sure it is: 2c + s.

    `s = floor(2 (C p - 1) / (C - 1))` is 0 or 1, p the largest of its C probabilities;
    the member is `(2c + s) mod M`. Images that look alike have one member, so copies
    that differ a little do not reach others, but who knows the network knows the
    member, and members have unequal shares of the images.

    `trained_on`, `target_trained_on`: training images uint8 `[N, H, W, C]` of the
    network and of the ensemble. Where both are given, ValueError for any that they
    share: the network must be of other data, or attackers have it as well. Raises
    TypeError for what is no `Network`, and ValueError for one of the two sets alone.

    Source: the formula for C = 10 is that of public code that attacks the ensemble of
    Kariyappa et al. 2021; the paper's own hash is not published.
    """

    def __init__(
        self,
        network: Network,
        *,
        trained_on: np.ndarray | None = None,
        target_trained_on: np.ndarray | None = None,
    ):
        if not isinstance(network, Network):
            raise TypeError(
                f"Perceptual takes a Network, got {type(network).__name__}: "
                "Network.of(module, variables)"
            )
        if (trained_on is None) != (target_trained_on is None):
            raise ValueError(
                "Perceptual compares trained_on with target_trained_on: give both, or "
                "none"
            )
        if trained_on is not None:
            _check_apart(trained_on, target_trained_on)
        self.network = network

    def __call__(self, x: np.ndarray, members: int) -> np.ndarray:
        logits = logits_of_queries(self.network, x, "the hash network")
        classes = logits.shape[1]
        if classes < 2:
            raise ValueError(f"a hash network needs two classes, it has {classes}")
        most = answer(logits, "probabilities").max(axis=1).astype(np.float64)
        sure = np.floor(2 * (classes * most - 1) / (classes - 1))
        # 2 is of a probability of 1, which is only ever rounded to; 0 of 1/C
        sure = np.clip(sure, 0, 1).astype(np.int64)
        return (2 * logits.argmax(axis=1) + sure) % members


def _check_apart(own, others) -> None:
    same = among(own, others)
    if same.any():
        raise ValueError(
            f"{same.sum()} of {len(same)} training images of the hash network are the "
            f"ensemble's as well, the first is number {same.argmax()}: train it on "
            "another data set"
        )

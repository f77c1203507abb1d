"""The class of an item by its neighbours' classes: whether it belongs where it is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.data.checks import row_digests
from flowjax_ood.data.scenes import Scenes, check_adjacency
from flowjax_ood.ood.batched import compiled, in_batches
from flowjax_ood.ood.descent import minimised, started
from flowjax_ood.ood.network import Network
from flowjax_ood.ood.settings import (
    COUNT,
    POSITIVE,
    SEED,
    Within,
    check_settings,
    ranges_of,
)

# scenes that are looked at together
BATCH = 256


class _ByNeighbours(nn.Module):
    """`log p(class of i | sum of the neighbours' classes)`, `[B, N, K]`.

    One sum over neighbours, and dense layers after it. A second sum would lead back to
    the item itself, by way of its neighbours.
    """

    hidden: int
    layers: int

    @nn.compact
    def __call__(self, labels: jax.Array, adjacency: jax.Array) -> jax.Array:
        # an item times 0 is 0, whatever it is: it has no part in its own sum
        h = jnp.einsum("ij,sjk->sik", adjacency, labels)
        for _ in range(self.layers - 1):
            h = nn.relu(nn.Dense(self.hidden)(h))
        return nn.log_softmax(nn.Dense(labels.shape[-1])(h))


@dataclass(frozen=True)
class _CrossEntropy:
    """Of every item with neighbours: its class, given theirs.

    Classes are the labels where they are known, and draws from q where not.
    """

    model: _ByNeighbours

    def __call__(self, params, rows, key):
        labels, log_q, adjacency = rows["labels"], rows["log_q"], rows["adjacency"][0]
        drawn = jax.random.categorical(key, log_q)
        labels = jnp.where(labels < 0, drawn, labels)
        own = jax.nn.one_hot(labels, log_q.shape[-1])
        log_p = self.model.apply({"params": params}, own, adjacency)
        linked = adjacency.any(1)
        return -jnp.sum(linked[:, None] * own * log_p) / (len(own) * linked.sum())


@dataclass(frozen=True)
class ContextModel:
    """`log p(class of an item | classes of its neighbours)`, learned from scenes.

    A network of `layers` dense layers, `hidden` units each, on the sum of the
    neighbours' classes; never on the item itself. It is trained by `steps` of Adam from
    `learning_rate` to 0, on items' labels given their neighbours'. Where a label is not
    known (-1), one is drawn in every step from q, the classifier's softmax; then, in
    each of `rounds`, q becomes `softmax(z + log p)`, z the classifier's logits, and p
    is trained further. A label that is known is kept: q of that item is certain of it.
    Scenes all of whose labels are known need no rounds, and those without any links no
    training: the answer is the class frequency.

    The published monitor names a graph Markov neural network (Qu, Bengio & Tang 2019)
    and no settings. In that network's code every node is linked to itself, so that a
    label may tell of itself; here an item has no part in its own answer. Raises
    ValueError for settings out of range.
    """

    hidden: int = 16
    layers: int = 2
    rounds: int = 1
    steps: int = 200
    learning_rate: float = 1e-2
    seed: int = 0
    ranges: ClassVar = ranges_of(
        hidden=COUNT,
        layers=COUNT,
        rounds=Within(0, integer=True),
        steps=COUNT,
        learning_rate=POSITIVE,
        seed=SEED,
    )

    def __post_init__(self):
        check_settings(self, self.ranges, "ContextModel")

    def fit(self, network: Network, scenes: Scenes) -> "Context":
        """Learn from scenes what goes together.

        Raises ValueError for a label that is of no class of the network, and for a
        class that no training scene has: there is no telling what goes with it.
        """
        z = _logits(network, scenes)
        classes = z.shape[-1]
        counts = _class_counts(scenes.labels, classes)
        model = _ByNeighbours(self.hidden, self.layers)
        adjacency = scenes.adjacency.astype(np.float32)
        params = started(model, self.seed, z[:1], adjacency)
        context = Context(
            network, model, params, np.log(counts / counts.sum()), _digests(scenes)
        )
        if not scenes.adjacency.any():
            return context
        every_known = (scenes.labels >= 0).all()
        log_q = _certain(_log_softmax(z), scenes.labels)
        for number in range(1 if every_known else 1 + self.rounds):
            if number:
                log_p = context.log_prob(log_q, scenes.adjacency)
                log_q = _certain(_log_softmax(z + log_p), scenes.labels)
            columns = {
                "labels": scenes.labels.astype(np.int32),
                "log_q": log_q,
                # a column has a row for each scene
                "adjacency": np.broadcast_to(adjacency, (len(z), *adjacency.shape)),
            }
            params = minimised(
                _CrossEntropy(model),
                context.params,
                columns,
                steps=self.steps,
                batch_size=BATCH,
                learning_rate=self.learning_rate,
                seed=self.seed + number,
                name="ContextModel",
            )
            context = Context(
                network, model, params, context.log_frequency, context.known
            )
        return context


@dataclass(frozen=True, eq=False)
class Context:
    """A fitted `ContextModel`: what classes go with the classes of neighbours.

    `log_frequency [K]`: of the training scenes, and the answer for items without
    neighbours. `known`: digests of the training items.
    """

    network: Network
    model: nn.Module
    params: Any = field(repr=False)
    log_frequency: np.ndarray = field(repr=False)
    known: frozenset[bytes] = field(default=frozenset(), repr=False)
    name: ClassVar[str] = "ContextModel"

    def log_prob(self, log_probs, adjacency) -> np.ndarray:
        """`log p(class of i | neighbours of i)`, float32 `[S, N, K]`.

        `log_probs [S, N, K]`: of each item's class, as the classifier has it; those of
        item i have no part in its own row. Of items without neighbours it is
        `log_frequency`. Raises ValueError for other shapes and for NaN.
        """
        log_probs = np.asarray(log_probs, np.float32)
        classes = len(self.log_frequency)
        if log_probs.ndim != 3 or log_probs.shape[2] != classes:
            raise ValueError(
                f"log_probs must be [S, N, {classes}], a row of each item's classes; "
                f"got shape {log_probs.shape}"
            )
        if np.isnan(log_probs).any():
            at = np.argwhere(np.isnan(log_probs))[0].tolist()
            raise ValueError(
                f"log_probs are NaN, first of item {at[1]} in scene {at[0]}: the "
                "classifier's logits are not finite there"
            )
        check_adjacency(adjacency, log_probs.shape[1])
        weights = adjacency.astype(np.float32)
        program = partial(_log_prob, self.model, self.params, weights)
        found = np.array(in_batches(program, np.exp(log_probs), BATCH))
        found[:, self.isolated(adjacency)] = self.log_frequency
        return found

    def isolated(self, adjacency: np.ndarray) -> np.ndarray:
        """Which items have no neighbours, bool `[N]`: only their class counts."""
        return np.logical_not(np.asarray(adjacency, bool).any(1))

    def score(self, scenes: Scenes) -> np.ndarray:
        """`log p(predicted class of i | neighbours)`, float32 `[S, N]`."""
        z = _logits(self.network, scenes)
        return self.score_logits(z, scenes.adjacency)

    def score_logits(self, z: np.ndarray, adjacency: np.ndarray) -> np.ndarray:
        """The same, of the classifier's logits `[S, N, K]`."""
        log_p = self.log_prob(_log_softmax(z), adjacency)
        predicted = np.argmax(z, -1)[..., None]
        return np.take_along_axis(log_p, predicted, -1)[..., 0]


@partial(compiled, static_argnums=0)
def _log_prob(model: nn.Module, params, adjacency, labels):
    return model.apply({"params": params}, labels, adjacency)


def _logits(network: Network, scenes: Scenes) -> np.ndarray:
    z = network.collect(scenes.flat).logits
    return z.reshape(*scenes.labels.shape, -1)


def _log_softmax(z) -> np.ndarray:
    z = np.asarray(z, np.float64)
    z = z - z.max(-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(-1, keepdims=True)), np.float32)


def _certain(log_q: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`log_q [S, N, K]`, but certain of every label `[S, N]` that is known."""
    own = labels[..., None] == np.arange(log_q.shape[-1])
    certain = np.where(own, np.float32(0), np.float32(-np.inf))
    return np.where(labels[..., None] >= 0, certain, log_q)


def _class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Count the known labels of each class; ValueError for others, and for none."""
    if labels.max() >= classes:
        raise ValueError(
            f"the label {labels.max()} is of no class of the network, which has "
            f"{classes}: 0 ... {classes - 1}"
        )
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    if absent := np.flatnonzero(counts == 0).tolist():
        raise ValueError(
            f"no training scene has an item of class {', '.join(map(str, absent))}: "
            "give scenes with all classes of the network"
        )
    return counts


def _digests(scenes: Scenes) -> frozenset[bytes]:
    found: Iterable[bytes] = row_digests(scenes.flat)
    return frozenset(found)

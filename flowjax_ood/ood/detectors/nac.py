"""Neuron activation coverage: how known a neuron's states are (Liu et al. 2024)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import compiled, of_inputs
from flowjax_ood.ood.checks import check_labels
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.features import class_indices
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, pool
from flowjax_ood.ood.settings import COUNT, NAMES, Within, ranges_of


def from_uniform(z):
    """`KL(1/C || softmax(z))` of logits `[B, C]`, less what does not depend on z."""
    return -jnp.mean(jax.nn.log_softmax(z, axis=1), axis=1)


def _state(network: Network, x, taps, z, layer, steepness):
    """`sigmoid(a f g)` of the neurons of a layer, `[B, n]`."""
    f = taps[layer]
    if layer == network.penultimate and network.head is not None:
        # in closed form: dKL/dz = p - 1/C
        g = (jax.nn.softmax(z, axis=1) - 1 / z.shape[1]) @ network.head[0].T
    else:
        g = jax.grad(lambda f: jnp.sum(from_uniform(network.with_taps(x, {layer: f}))))(
            f
        )
    return jax.nn.sigmoid(steepness * pool(f) * pool(g))


def _states_of(network, x, layers, steepness):
    taps, z = network.taps(x)
    missing = [k for k in layers if k not in taps]
    if missing:
        raise ValueError(f"the network gives no tap {missing}, only {sorted(taps)}")
    return [_state(network, x, taps, z, k, a) for k, a in zip(layers, steepness)]


_states = partial(compiled, static_argnums=2)(_states_of)


def covered(states, coverage):
    """Average the coverage `[M, n]` of the intervals that states `[B, n]` are in."""
    bins = len(coverage)
    at = jnp.clip((states * bins).astype(int), 0, bins - 1)
    values = jnp.take_along_axis(coverage, at, axis=0)
    # NaN is in no interval
    return jnp.mean(jnp.where(jnp.isnan(states), jnp.nan, values), axis=1)


@partial(compiled, static_argnums=2)
def _scores(network, x, layers, steepness, coverage):
    states = _states_of(network, x, layers, steepness)
    return sum(map(covered, states, coverage)) / len(layers)


def _score(network, layers, steepness, coverage, x, batch_size):
    def scores(rows):
        return _scores(network, rows, layers, steepness, coverage)

    return of_inputs(scores, x, batch_size)


def balanced_rows(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw `count` rows, as many of each class: ascending, fewer where a class has."""
    labels = class_indices(labels, len(labels))
    classes = int(labels.max()) + 1
    order = np.random.default_rng(seed).permutation(len(labels))
    each = max(1, count // classes)
    rows = [order[labels[order] == c][:each] for c in range(classes)]
    return np.sort(np.concatenate(rows))


@dataclass(frozen=True)
class NACUE(Detector):
    """`mean_(k, i) min(N_ki(s_ki) / enough, 1)`: coverage of the states of neurons.

    `s_ki = sigmoid(a_k f_ki dKL_ki)`, f_ki the activation of neuron i of layer k, of a
    feature map the mean over positions, and dKL_ki the same of the gradient of
    `KL(1/C || p)` by it. N_ki(s) counts the training inputs whose state is in the same
    of `bins` equal intervals of [0, 1]: `images` inputs, as many of each class. A mean
    over neurons, then over layers.

    `layers`: taps; () is the penultimate alone, as the published configuration.
    `steepness` a, `bins` and `enough` are of each layer, or one for all; the published
    a was chosen for each layer and data set, 100 here for the penultimate of CIFAR-10.
    The published code sums over H W positions, so its a is (H W)^2 times smaller, and
    sets closer intervals about 1/2; here they are the paper's.

    Needs `given.train_inputs` and their labels; other layers than the penultimate need
    `network.replaced`.
    """

    layers: tuple[str, ...] = ()
    steepness: tuple[float, ...] = (100.0,)
    bins: tuple[int, ...] = (50,)
    enough: tuple[int, ...] = (50,)
    images: int = 1000
    batch_size: int = 250
    name = "NAC-UE"

    # of each of the layers
    grid: ClassVar = {
        "steepness": tuple((a,) for a in (1.0, 10.0, 100.0, 1000.0)),
        "enough": ((10,), (50,), (200,)),
    }
    ranges = ranges_of(
        layers=NAMES,
        steepness=Within(0, without="(", many=True),
        **dict.fromkeys(("bins", "enough"), Within(1, integer=True, many=True)),
        **dict.fromkeys(("images", "batch_size"), COUNT),
    )

    @property
    def requires(self) -> Requires:
        # of the penultimate, the gradient has a closed form
        gradients = bool(self.layers)
        return Requires(train_inputs=True, labels=True, gradients=gradients)

    def check(self, network: Network, given: Given) -> None:
        super().check(network, given)
        layers = self._layers(network)
        for name in ("steepness", "bins", "enough"):
            if len(getattr(self, name)) not in (1, len(layers)):
                raise ValueError(
                    f"{self.name}: {name} must be one number, or one for each of "
                    f"{len(layers)} layers; got {getattr(self, name)!r}"
                )
        if layers != (network.penultimate,) or network.head is None:
            network.check_replaced(self.name)

    def _layers(self, network: Network) -> tuple[str, ...]:
        if self.layers:
            return tuple(self.layers)
        if network.penultimate is None:
            raise ValueError(f"{self.name} needs layers, or network.penultimate")
        return (network.penultimate,)

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        layers = self._layers(network)
        per_layer = (
            values * len(layers) if len(values) == 1 else tuple(values)
            for values in map(tuple, (self.steepness, self.bins, self.enough))
        )
        steepness, bins, enough = per_layer
        steepness = tuple(map(float, steepness))
        labels, inputs = given.labels, given.train_inputs
        assert labels is not None  # `check` has seen to both
        assert inputs is not None
        check_labels(labels, len(inputs))
        rows = balanced_rows(labels, self.images, given.seed)
        states = of_inputs(
            lambda x: _states(network, x, layers, steepness),
            inputs[rows],
            self.batch_size,
        )
        if not all(np.isfinite(s).all() for s in states):
            raise ValueError(
                f"{self.name} cannot be fitted: activations or gradients of training "
                "inputs are NaN or infinite"
            )
        coverage = [
            jnp.asarray(_coverage(*of), jnp.float32) for of in zip(states, bins, enough)
        ]
        function = partial(_score, network, layers, steepness, coverage)
        return Fitted(self.name, self.requires, network, function, False)


def _coverage(states, bins, enough) -> np.ndarray:
    """`min(N / enough, 1)`, `[M, n]`, of states `[N, n]`."""
    at = np.clip((states * np.float32(bins)).astype(int), 0, bins - 1)
    counts = np.zeros((bins, states.shape[1]))
    np.add.at(counts, (at, np.arange(states.shape[1])), 1)
    return np.minimum(counts / enough, 1)

"""Gram: how far a layer's correlations leave the range of training images.

Source: Sastry and Oore 2020.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import at_once, batches, compiled, of_inputs
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network
from flowjax_ood.ood.settings import COUNT, Within, ranges_of

# the published code adds them to what it divides by
BOUND, EXPECTED = 1e-6, 1e-7


def row_sums(tap, powers):
    """`(sum_j (F^p F^p')_ij)^(1/p)` of channels i, `[B, P, C]`, of a tap `[B, ..., C]`.

    F is `[C, positions]`, its powers are of each entry, and roots keep the sign. No
    matrix `[C, C]` is made: the sum of a row is that of `F_i^p sum_j F_j^p` over
    positions. Entries are of the row's largest, whose powers are finite.
    """
    f = tap.reshape(len(tap), -1, tap.shape[-1])
    top = jnp.max(jnp.abs(f), axis=(1, 2), keepdims=True)
    # not "> 0": NaN stays NaN
    f = f / jnp.where(top == 0, 1, top)

    def of(power):
        raised = f**power
        sums = jnp.sum(raised * jnp.sum(raised, axis=2, keepdims=True), axis=1)
        return jnp.sign(sums) * jnp.abs(sums) ** (1 / power) * top[:, 0] ** 2

    return jnp.stack([of(p) for p in powers], axis=1)


def outside(values, low, high):
    """Sum `(low - v) / |low|` below a range and `(v - high) / |high|` above: `[B]`."""
    below = jnp.maximum(low - values, 0) / jnp.maximum(jnp.abs(low), BOUND)
    above = jnp.maximum(values - high, 0) / jnp.maximum(jnp.abs(high), BOUND)
    return jnp.sum(below + above, axis=tuple(range(1, values.ndim)))


@partial(compiled, static_argnums=2)
def _values(network: Network, x, powers):
    taps, z = network.taps(x)
    return {k: row_sums(taps[k], powers) for k in network.layers}, z


def _deviations(network, ranges, x, powers):
    """`[B, K]`: of every layer, from the range of the predicted class."""
    taps, z = network.taps(x)
    predicted = jnp.argmax(z, axis=1)
    confidence = jnp.exp(jnp.max(jax.nn.log_softmax(z, axis=1), axis=1))
    of = [
        outside(row_sums(taps[k], powers), *(bound[predicted] for bound in ranges[k]))
        for k in network.layers
    ]
    return jnp.stack(of, axis=1) / confidence[:, None]


_layers = partial(compiled, static_argnums=3)(_deviations)


@partial(compiled, static_argnums=4)
def _scores(network, ranges, expected, x, powers):
    return -jnp.sum(_deviations(network, ranges, x, powers) / expected, axis=1)


def _score(network, ranges, expected, powers, x, batch_size):
    def scores(rows):
        return _scores(network, ranges, expected, rows, powers)

    return of_inputs(scores, x, batch_size)


@dataclass(frozen=True)
class Gram(Detector):
    """`- sum_k d_k / E[d_k]`, d_k the deviation of layer k, E of validation inputs.

    `d_k = sum_(p, i) outside(G_pi, [low, high]) / max softmax`: G are the sums over
    rows of the Gram matrices of network.layers, as `row_sums` has them for every power
    p; low and high are their smallest and largest value among the training images that
    are predicted as the same class; and `outside` is the distance to that range by its
    nearer end. The published code reads every convolution, norm and ReLU; this the
    layers that the network names. A class that no training image is predicted as has
    the range of all.

    Needs `given.train_inputs`, of which no activations are kept, and `id_validation`.
    """

    powers: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    batch_size: int = 250
    name = "Gram"

    requires = Requires(train_inputs=True, id_validation=True)
    ranges = ranges_of(powers=Within(1, integer=True, many=True), batch_size=COUNT)

    def check(self, network: Network, given: Given) -> None:
        super().check(network, given)
        if not network.layers:
            raise ValueError(f"{self.name} needs network.layers, the taps to measure")

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        powers = tuple(self.powers)
        ranges = self._ranges(network, given.train_inputs, powers)
        deviations = of_inputs(
            lambda rows: _layers(network, ranges, rows, powers),
            given.id_validation,
            self.batch_size,
        )
        expected = np.mean(deviations, axis=0, dtype=np.float64) + EXPECTED
        if not np.isfinite(expected).all():
            raise ValueError(
                f"{self.name} cannot be fitted: the network's activations are NaN or "
                "infinite for training or validation inputs"
            )
        means = jnp.asarray(expected, jnp.float32)
        function = partial(_score, network, ranges, means, powers)
        return Fitted(self.name, self.requires, network, function, False)

    def _ranges(self, network: Network, x, powers) -> dict:
        """`{layer: (low, high)}`, `[C, P, channels]` each, of inputs by their class."""
        ranges = {}
        size = at_once(x, self.batch_size)
        for values, z in batches(lambda rows: _values(network, rows, powers), x, size):
            predicted = np.argmax(z, axis=1)
            for layer, v in values.items():
                if layer not in ranges:
                    empty = np.full((z.shape[1], *v.shape[1:]), np.inf, v.dtype)
                    ranges[layer] = empty, -empty
                low, high = ranges[layer]
                for c in np.unique(predicted):
                    of = v[predicted == c]
                    low[c] = np.minimum(low[c], of.min(axis=0))
                    high[c] = np.maximum(high[c], of.max(axis=0))
        for low, high in ranges.values():
            unseen = low > high
            low[...] = np.where(unseen, low.min(axis=0), low)
            high[...] = np.where(unseen, high.max(axis=0), high)
        return jax.tree.map(jnp.asarray, ranges)

"""Score several layers, each after a step of its own along its gradient.

FSSD and the Mahalanobis detector share this: `s_k(x + m d_k)`, d_k made of the gradient
of s_k at x.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.network import Network, as_input

Form = Literal["sign", "zscore_sample", "zscore_batch"]
FORMS = ("sign", "zscore_sample", "zscore_batch")
# the magnitudes that FSSD's code chooses from
MAGNITUDES = (
    *(0.2, 0.18, 0.16, 0.14, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02, 0.01),
    *(0.008, 0.006, 0.004, 0.002, 0.001, 0.0008, 0.0006, 0.0004, 0.0002, 0.0001, 0.0),
)


def direction(gradient: jax.Array, form: Form, std) -> jax.Array:
    """Make a step in pixel units from the gradient `[B, ...]` of a score.

    "sign": its sign. "zscore_sample": the gradient by normalised pixels, less its mean,
    over its standard deviation (n - 1), of each input. "zscore_batch", as FSSD's code:
    of all inputs of the batch together, so a score depends on the other inputs.

    A gradient that is zero everywhere gives no step.
    """
    if form == "sign":
        return jnp.sign(gradient)
    g = gradient * jnp.asarray(std, gradient.dtype)
    axes = tuple(range(0 if form == "zscore_batch" else 1, g.ndim))
    spread = jnp.std(g, axis=axes, ddof=1, keepdims=True)
    centred = g - jnp.mean(g, axis=axes, keepdims=True)
    return jnp.where(spread > 0, centred / jnp.where(spread > 0, spread, 1), 0)


@dataclass(frozen=True, eq=False)
class LayerScores:
    """`score(layer, activations) -> [B]` of every layer of a network.

    `score` is a `jax.tree_util.Partial`: its arrays are arguments of the compiled
    programs, which all scores of its function share. `sign`: +1 steps uphill, raising
    the score, -1 downhill. `together`: the batch of "zscore_batch".
    """

    network: Network
    score: Partial = field(repr=False)
    form: Form = "sign"
    sign: int = 1
    together: int = 250

    def steps(self, x, batch_size: int = 250) -> np.ndarray:
        """Compute the steps of every layer, `[B, K, ...]`, of a batch `x [B, ...]`.

        `batch_size`: at most so many at a time, which nothing depends on.
        """
        gradients = in_batches(self._gradients, x, at_once(x, batch_size))
        return np.asarray(self._directions(gradients))

    def _gradients(self, x):
        return _gradients(self.network, self.score, x)

    def _directions(self, gradients):
        return _directions(gradients, self.sign, self.form, self.network.std)

    def _at(self, x, steps, magnitudes):
        """Scores of one batch, `M` times `[B, K]`."""
        both = self.network, self.score
        return tuple(
            _moved(*both, x, steps, m) if m else _plain(*both, x) for m in magnitudes
        )

    def table(self, x, magnitudes: Sequence[float], batch_size: int = 250):
        """Score inputs at every magnitude: `[N, M, K]`; 0 takes no step.

        `batch_size`: at most so many at a time, which no score depends on.
        """
        size, batch = at_once(x, batch_size), self.together

        def alone(rows):
            moves = any(magnitudes)
            steps = self._directions(self._gradients(rows)) if moves else None
            return self._at(rows, steps, magnitudes)

        if self.form != "zscore_batch" or not any(magnitudes):
            return np.stack(in_batches(alone, x, size), axis=1)
        parts = []
        for start in range(0, len(x), batch):
            rows = x[start : start + batch]
            pairs = rows, self.steps(rows, batch_size)
            scores = in_batches(lambda p: self._at(p[0], p[1], magnitudes), pairs, size)
            parts.append(np.stack(scores, axis=1))
        return np.concatenate(parts)


# Programs: all that is an array or a number is an argument, so that networks of one
# architecture, and scores, forms and magnitudes of any numbers, share them.


def _at(network, score, layer, x):
    return score(layer, network.taps(x)[0][layer])


@compiled
def _plain(network, score, x):
    """`[B, K]` at x itself."""
    taps, _ = network.taps(x)
    return jnp.stack([score(k, taps[k]) for k in network.layers], axis=1)


@compiled
def _gradients(network, score, x):
    """Gradients of every layer's score by x, `[B, K, ...]`."""
    x = as_input(x)

    # of a sum: rows do not depend on each other. XLA finds what the layers' passes have
    # in common, and that a layer needs none above it
    def of(layer):
        return jax.grad(lambda x: jnp.sum(_at(network, score, layer, x)))(x)

    return jnp.stack([of(layer) for layer in network.layers], axis=1)


@partial(compiled, static_argnums=(2, 3))
def _directions(gradients, sign, form, std):
    of_layers = jax.vmap(partial(direction, form=form, std=std or 1.0), 1, 1)
    return sign * of_layers(gradients)


@compiled
def _moved(network, score, x, steps, magnitude):
    """`[B, K]` after the steps `[B, K, ...]`."""
    x = as_input(x)
    scores = [
        _at(network, score, layer, x + magnitude * steps[:, k])
        for k, layer in enumerate(network.layers)
    ]
    return jnp.stack(scores, axis=1)

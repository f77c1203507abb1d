"""Scores of several layers, each after a step of its own along its gradient.

What FSSD and the Mahalanobis detector share: `s_k(x + m d_k)`, d_k made of the gradient
of s_k at x, and a linear combination over the layers k.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from flowjax_ood.ood import protocols
from flowjax_ood.ood.batched import in_batches
from flowjax_ood.ood.detector import Fitted, Given
from flowjax_ood.ood.network import Network, as_input, check_images

Form = Literal["sign", "zscore_sample", "zscore_batch"]
FORMS = ("sign", "zscore_sample", "zscore_batch")
# what a magnitude is chosen from in FSSD's code
MAGNITUDES = (
    *(0.2, 0.18, 0.16, 0.14, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02, 0.01),
    *(0.008, 0.006, 0.004, 0.002, 0.001, 0.0008, 0.0006, 0.0004, 0.0002, 0.0001, 0.0),
)


def direction(gradient: jax.Array, form: Form, std) -> jax.Array:
    """A step in pixel units from the gradient `[B, ...]` of a score.

    "sign": its sign. "zscore_sample": the gradient by normalised pixels, less its mean,
    over its standard deviation (n - 1), of each input. "zscore_batch", as FSSD's code:
    of all inputs of the batch together, so scores depend on their company.

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

    `sign`: +1 steps uphill, raising the score, -1 downhill.
    """

    network: Network
    layers: tuple[str, ...]
    score: Callable[[str, jax.Array], jax.Array] = field(repr=False)
    form: Form = "sign"
    sign: int = 1

    def _at(self, variables, layer, x):
        return self.score(layer, self.network.apply(variables, x)[0][layer])

    def directions(self, variables, x):
        """Steps of every layer, `[K, B, ...]`; x float `[B, ...]`."""
        std = 1.0 if self.network.std is None else self.network.std

        def of(layer):
            # of a sum: rows do not depend on each other
            gradient = jax.grad(lambda x: jnp.sum(self._at(variables, layer, x)))(x)
            return self.sign * direction(gradient, self.form, std)

        return jnp.stack([of(layer) for layer in self.layers])

    def at(self, variables, x, steps, magnitude):
        """`[B, K]` after the steps; of no steps (None), at x itself."""
        if steps is None:
            taps = self.network.apply(variables, x)[0]
            return jnp.stack([self.score(k, taps[k]) for k in self.layers], axis=1)
        moved = (x + magnitude * step for step in steps)
        found = [self._at(variables, k, x) for k, x in zip(self.layers, moved)]
        return jnp.stack(found, axis=1)

    def __call__(self, variables, x, magnitude, perturb: bool):
        x = as_input(x)
        steps = self.directions(variables, x) if perturb else None
        return self.at(variables, x, steps, magnitude)

    @cached_property
    def _compiled(self):
        return jax.jit(self.directions), jax.jit(self.at)

    def table(self, x, magnitudes, batch_size: int = 250) -> np.ndarray:
        """Scores of inputs at every magnitude, `[N, M, K]`; 0 takes no step."""
        directions, at = self._compiled
        variables = self.network.variables

        def of(rows):
            rows = as_input(jnp.asarray(rows))
            with jax.default_matmul_precision("highest"):
                steps = directions(variables, rows) if any(magnitudes) else None
                found = [
                    at(variables, rows, steps if m else None, m) for m in magnitudes
                ]
            return jnp.stack(found, axis=1)

        return in_batches(of, x, batch_size)


def check_finite(name: str, table: np.ndarray) -> np.ndarray:
    """`table [N, ...]` of validation inputs; ValueError where it is NaN or infinite."""
    bad = ~np.isfinite(table.reshape(len(table), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name} cannot be fitted: the network's activations are NaN or infinite "
            f"for {bad.sum()} of {len(bad)} validation inputs, the first is number "
            f"{int(np.argmax(bad))}"
        )
    return table


def fit_layers(detector, scores: LayerScores, given: Given) -> Fitted:
    """Choose the magnitude and the weights, and put the detector together.

    By its `magnitudes`, `weights` and `batch_size`.
    "logistic": weights by logistic regression on the first halves of the validation
    inputs; of the magnitudes, that of the highest TNR at TPR 95 % on the second halves,
    the first of equals. "uniform", and one layer by its name, look at in-distribution
    inputs alone, and take the first magnitude.
    """
    name, batch_size = detector.name, detector.batch_size
    magnitudes, weighting = detector.magnitudes, detector.weights
    if not len(magnitudes):
        raise ValueError(f"{name} needs a magnitude; 0 is no perturbation")
    if weighting not in ("uniform", "logistic", *scores.layers):
        raise ValueError(
            f"unknown weights {weighting!r}; known: uniform, logistic, or one layer of "
            f"{', '.join(scores.layers)}"
        )
    if any(magnitudes):
        check_images(given.id_validation[:1], name)
    inliers, outliers = given.id_validation, given.ood_validation
    half = len(inliers) // 2
    chosen = {}
    if weighting == "logistic":
        of_id = check_finite(name, scores.table(inliers, magnitudes, batch_size))
        of_ood = check_finite(name, scores.table(outliers, magnitudes, batch_size))
        rest, best = len(outliers) // 2, -1.0
        for i, m in enumerate(magnitudes):
            candidate = protocols.logistic_weights(of_id[:half, i], of_ood[:rest, i])
            rate = protocols.tnr_at_tpr95(
                candidate(of_id[half:, i]), candidate(of_ood[rest:, i])
            )
            if rate > best:
                best, magnitude, weights = rate, m, candidate
        chosen["tnr_at_tpr95"] = best
    else:
        magnitude = magnitudes[0]
        of_id = scores.table(inliers, (magnitude,), batch_size)
        of_id = check_finite(name, of_id)[:, 0]
        weights = protocols.uniform_weights(of_id)
        if weighting != "uniform":
            alone = np.asarray([layer == weighting for layer in scores.layers])
            weights = protocols.Weights(1.0 * alone, 0.0)
    chosen |= {
        "magnitude": float(magnitude),
        "weights": dict(zip(scores.layers, map(float, weights.weights))),
        "bias": weights.bias,
    }

    def combined(weights, bias, magnitude, variables, x):
        return (
            scores(variables, x, magnitude, bool(chosen["magnitude"])) @ weights + bias
        )

    arrays = (jnp.asarray(weights.weights, jnp.float32), weights.bias, magnitude)
    function = Partial(combined, *arrays)
    return Fitted(name, detector.requires, scores.network, function, False, chosen)

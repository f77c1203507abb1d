"""Gradients of log p with respect to the image, at several sizes of noise."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.flows.densities import (
    REGULARISATION,
    Density,
    fit_mixture,
    standardised,
    where_known,
)
from flowjax_ood.ood.flows.noise import normal_noise
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score, drawn, reference
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import COUNT, OneOf, Within, ranges_of

# of the logit that flows of images begin with, see `bijectors.Logit`
ALPHA = 0.05
# a gradient of 0 counts as this
TINY = 1e-30
# reference images for each size of noise and each component
REFERENCES_EACH = 10


@compiled
def _log_norms(scored: ScoredFlow, of_logits, levels, inputs: FlowInputs):
    """`log |grad|` at each level: `[B, levels]`."""
    x = scored.points(inputs)
    noise = normal_noise(scored, inputs, "input gradients", x)

    def total(y):
        return scored.flow.apply(scored.variables, y, method="log_prob").sum()

    def at(level):
        y = x + level * noise
        if scored.of_images:
            # reflected at 0 and at 1; what is still outside was more than 1 away
            y = jnp.clip(1 - jnp.abs(1 - jnp.abs(y)), 0, 1)
        gradient = jax.grad(total)(y)
        if scored.of_images:
            inner = ALPHA + (1 - 2 * ALPHA) * y
            slope = inner * (1 - inner) / (1 - 2 * ALPHA)
            gradient = gradient * jnp.where(of_logits, slope, 1.0)
        flat = gradient.reshape(len(x), -1)
        # squares of large numbers would overflow
        largest = jnp.maximum(jnp.abs(flat).max(1), TINY)
        squares = ((flat / largest[:, None]) ** 2).sum(1)
        return jnp.log(largest) + jnp.log(jnp.maximum(squares, TINY)) / 2

    return jax.lax.map(at, levels).T


def fit_gaussian(y: np.ndarray) -> Density:
    """Log density of a Gaussian of mean 0, 1e-3 added to the variances of `y [N, J]`.

    `fit_mixture` of one component, without scikit-learn.
    """
    covariance = y.T @ y / len(y) + REGULARISATION * np.eye(y.shape[1])
    volume = np.linalg.slogdet(2 * np.pi * covariance)[1] / 2

    def density(y: np.ndarray) -> np.ndarray:
        squares = (y * np.linalg.solve(covariance, y.T).T).sum(1)
        return -squares / 2 - volume

    return density


@dataclass(frozen=True)
class InputGradients(FlowScore):
    """Log density of `log |grad log p(x + s e)|`, s each of `levels`: a Gaussian.

    e is a draw of N(0, I) that the image determines; what leaves [0, 1] is reflected.
    The density is of log-norms that are standardised by at most `references` reference
    images, drawn by `given.seed`, and fitted to those; 1e-3 is added to variances. Of
    more `components` than 1, it is a mixture of Gaussians and needs scikit-learn.

    `coordinates` of the gradient: "logits", v of `x = (sigmoid(v) - a) / (1 - 2 a)`, a
    = 0.05, as gradients by pixels explode at the ends of [0, 1] in flows that begin
    with a logit; "pixels". Vectors are taken as they are.

    Costs 2 passes a level. Source: Mahmood et al. 2021, with a flow's gradient in place
    of a network of scores. ValueError for fewer than 10 reference images a level and
    component, and for gradients of reference images that are not finite or all of the
    same size.
    """

    levels: tuple[float, ...] = (1 / 256, 1 / 64, 1 / 32, 1 / 16)
    coordinates: str = "logits"
    references: int = 1000
    components: int = 1
    label: str = "input gradients"
    ranges: ClassVar = ranges_of(
        levels=Within(0, many=True),
        coordinates=OneOf(("logits", "pixels")),
        references=COUNT,
        components=COUNT,
    )

    @property
    def requires(self) -> Requires:
        return Requires(train_data=True, sklearn=self.components > 1)

    @property
    def passes(self) -> float:
        return 1.0 + 2 * len(self.levels)

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        least = REFERENCES_EACH * len(self.levels) * self.components
        if self.references < least:
            raise ValueError(
                f"{self.name}: references must be at least {least} for "
                f"{len(self.levels)} levels and {self.components} components, got "
                f"{self.references}"
            )
        train = reference(given, least, self.name)
        logs = self._logs(network, drawn(train, self.references, given.seed))
        names = tuple(f"log |grad| at level {level:g}" for level in self.levels)
        scaled = standardised(logs, names, self.name)
        known = scaled(logs)
        if self.components == 1:
            density = fit_gaussian(known)
        else:
            density = fit_mixture(known, self.components, given.seed)

        def score(outputs: FlowOutputs) -> np.ndarray:
            # NaN is kept: it is refused as a score
            return where_known(density, scaled(self._logs(network, outputs)))

        return score

    def _logs(self, network: ScoredFlow, outputs: FlowOutputs) -> np.ndarray:
        levels = np.array(self.levels, np.float32)
        program = partial(_log_norms, network, self.coordinates == "logits", levels)
        inputs = network.inputs(outputs.events)
        together = at_once(outputs.events, 250)
        return in_batches(program, inputs, together).astype(np.float64)

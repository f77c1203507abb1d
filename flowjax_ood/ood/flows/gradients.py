"""Gradients of the log-likelihood of one image with respect to the parameters."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import batches, compiled, in_batches
from flowjax_ood.ood.flows.combined import Combined
from flowjax_ood.ood.flows.likelihood import Typicality
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score, reference
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.settings import Within, ranges_of

# images whose gradients are held at once, each as large as the parameters
BATCH = 16
# a spread of log-norms that rounding of float32 makes by itself
ROUNDING = 1e-5


def with_params(scored: ScoredFlow, params) -> dict[str, Any]:
    """The flow's variables with other parameters."""
    return {**scored.variables, "params": params}


def log_prob_of_point(scored: ScoredFlow, params, point: jax.Array) -> jax.Array:
    """`log p(x; params)` of one point `[*shape]`, nats: a number to differentiate."""
    variables = with_params(scored, params)
    return scored.flow.apply(variables, point[None], method="log_prob")[0]


def parameters(network: ScoredFlow, name: str) -> Any:
    """Return the flow's parameters. ValueError where it has none."""
    params = network.variables.get("params", {})
    if not jax.tree.leaves(params):
        raise ValueError(
            f"{name} needs gradients of parameters, and this flow has none: give a "
            "flow with layers that were trained"
        )
    return params


def _squared_gradients(scored: ScoredFlow, points: jax.Array):
    """`(d log p / d theta)^2` of every example: the tree of parameters, `[B, ...]`."""
    gradient = jax.grad(log_prob_of_point, argnums=1)
    params = scored.variables["params"]
    found = jax.vmap(gradient, (None, None, 0))(scored, params, points)
    return jax.tree.map(jnp.square, found)


def _by_example(tree) -> jax.Array:
    """Sum each tensor over all but its first axis: `[B, tensors]`."""
    sums = [leaf.reshape(len(leaf), -1).sum(1) for leaf in jax.tree.leaves(tree)]
    return jnp.stack(sums, 1)


@compiled
def _squares(scored: ScoredFlow, inputs: FlowInputs):
    found = _squared_gradients(scored, scored.points(inputs))
    return found, _by_example(found)


@compiled
def _norms(scored: ScoredFlow, inputs: FlowInputs):
    return _by_example(_squared_gradients(scored, scored.points(inputs)))


@compiled
def _rao(scored: ScoredFlow, inverse, inputs: FlowInputs):
    squares = _squared_gradients(scored, scored.points(inputs))
    return _by_example(jax.tree.map(jnp.multiply, squares, inverse)).sum(1)


class ReferenceGradients(NamedTuple):
    """Squared norms `[N, tensors]`, and the mean square of each parameter, a tree."""

    norms: np.ndarray
    mean_squares: Any


def reference_gradients(
    network: ScoredFlow, given: Given, name: str
) -> ReferenceGradients:
    """Differentiate at all reference images, once for all scores of these data."""
    outputs = reference(given, 2, name)

    def make() -> ReferenceGradients:
        total, norms = None, []
        program = partial(_squares, network)
        for squares, rows in batches(program, network.inputs(outputs.events), BATCH):
            part = jax.tree.map(lambda a: a.sum(0, dtype=np.float64), squares)
            total = part if total is None else jax.tree.map(np.add, total, part)
            norms.append(rows.astype(np.float64))
        means = jax.tree.map(lambda a: a / len(outputs), total)
        return ReferenceGradients(np.concatenate(norms), means)

    return given.once((ReferenceGradients, network), make)


@dataclass(frozen=True)
class GradientNorms(FlowScore):
    """`sum_j log N(log g_j; m_j, s_j^2)`, `g_j = |d log p(x) / d theta_j|^2`.

    theta_j is the j-th tensor of parameters; m_j and s_j are the mean and standard
    deviation of log g_j over reference images. Tensors whose log g_j does not vary
    there are left out, such as those of gradient 0. Of all others, a gradient of 0 has
    no logarithm and counts as the smallest positive g_j of reference images.

    Costs a forward and a backward pass for each image, 16 of them at once. Source:
    Dauncey et al. 2024. ValueError for a flow without parameters, fewer than 2
    reference images, and where no tensor is left.
    """

    label: str = "gradient norms"
    requires: ClassVar[Requires] = Requires(train_data=True)
    passes: ClassVar[float] = 4.0

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        parameters(network, self.name)
        norms = reference_gradients(network, given, self.name).norms
        positive = np.where(norms > 0, norms, np.inf).min(0)
        # a tensor without a positive norm is left out: any number will do
        floor = np.where(np.isfinite(positive), positive, 1.0)
        logs = np.log(np.where(norms > 0, norms, floor))
        mean, spread = logs.mean(0), logs.std(0)
        kept = spread > ROUNDING
        if not kept.any():
            raise ValueError(
                f"{self.name}: the gradients of all {len(kept)} tensors are of the same"
                f" norm in all {len(logs)} reference images; give others"
            )

        def score(outputs: FlowOutputs) -> np.ndarray:
            inputs = network.inputs(outputs.events)
            found = in_batches(partial(_norms, network), inputs, BATCH)
            # NaN is kept: it is refused as a score
            found = np.where(found == 0, floor, found.astype(np.float64))[:, kept]
            deviations = (np.log(found) - mean[kept]) / spread[kept]
            constants = np.log(2 * np.pi) / 2 + np.log(spread[kept])
            return -(deviations**2 / 2 + constants).sum(1)

        return score


@dataclass(frozen=True)
class RaoScore(FlowScore):
    """`-S' F^-1 S`, `S = d log p(x) / d theta`: how far x would move the parameters.

    F is the diagonal of the Fisher information: the mean of each S_i^2 over reference
    images. Parameters that move at none of them are left out. To every other F_i its
    tensor's mean times `damping` is added, as a parameter that hardly moves at
    reference images would outweigh all others.

    Costs a forward and a backward pass for each image, 16 of them at once. Source: Rao
    1948; Bergamin et al. 2022. ValueError for a flow without parameters, fewer than 2
    reference images, and where all gradients are 0.
    """

    damping: float = 1e-6
    label: str = "Rao score"
    requires: ClassVar[Requires] = Requires(train_data=True)
    passes: ClassVar[float] = 4.0
    ranges: ClassVar = ranges_of(damping=Within(0))

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        parameters(network, self.name)
        means = reference_gradients(network, given, self.name).mean_squares
        if not any(leaf.any() for leaf in jax.tree.leaves(means)):
            raise ValueError(
                f"{self.name}: the gradients of all parameters are 0 in all reference "
                "images; give others"
            )

        def inverted(mean: np.ndarray) -> np.ndarray:
            damped = np.where(mean > 0, mean + self.damping * mean.mean(), np.inf)
            return (1 / damped).astype(np.float32)

        inverse = jax.tree.map(inverted, means)

        def score(outputs: FlowOutputs) -> np.ndarray:
            inputs = network.inputs(outputs.events)
            program = partial(_rao, network, inverse)
            return -in_batches(program, inputs, BATCH).astype(np.float64)

        return score


def rao_and_typicality(damping: float = 1e-6) -> Combined:
    """Combine the Rao score and typicality by Fisher's method, calibrated again.

    The two p-values are not independent: see `Combined` for how that is met. Source:
    Bergamin et al. 2022.
    """
    scores = (RaoScore(damping), Typicality())
    return Combined(scores, "fisher", "Rao score and typicality")

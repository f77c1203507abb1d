"""Likelihood regret: how much a few steps of training on one image gain."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax

from flowjax_ood.ood.batched import compiled, in_batches
from flowjax_ood.ood.flows.gradients import BATCH, log_prob_of_point, parameters
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.settings import POSITIVE, Names, Within, ranges_of

Path = tuple[str, ...]


def last_layer(network: ScoredFlow) -> Path:
    """The path of the last bijector that has parameters, as forward applies them.

    A `Repeat` counts as one: all its layers.
    """
    names = list(flatten_dict(network.variables["params"]))
    paths = [("bijector", *path) for path in _leaves(network.flow.bijector)]
    return [p for p in paths if any(_starts(name, p) for name in names)][-1]


def _leaves(bijector, path: Path = ()) -> Iterator[Path]:
    """Paths of the bijectors that are made of no others, in the order of forward."""
    children = bijector.children()
    if not children:
        yield path
    for name, child in children:
        yield from _leaves(child, (*path, name))


def _starts(name: Path, path: Path) -> bool:
    return name[: len(path)] == path


@compiled
def _regret(scored: ScoredFlow, chosen, rate, steps, inputs: FlowInputs):
    frozen = flatten_dict(scored.variables["params"])
    # slopes of images differ by powers of ten: by Adam each parameter moves by about
    # `rate`, where steps in proportion to the slope overshoot for most images
    ascent = optax.chain(optax.scale_by_adam(), optax.scale(rate))

    def value(trained, point):
        return log_prob_of_point(scored, unflatten_dict({**frozen, **trained}), point)

    def of_one(point):
        start = value(chosen, point)

        def step(_, state):
            trained, moments, best = state
            reached, slope = jax.value_and_grad(value)(trained, point)
            updates, moments = ascent.update(slope, moments)
            trained = optax.apply_updates(trained, updates)
            # a step that went too far may give NaN: it gains nothing
            return trained, moments, jnp.fmax(best, reached)

        state = (chosen, ascent.init(chosen), start)
        trained, _, best = lax.fori_loop(0, steps, step, state)
        best = jnp.fmax(best, value(trained, point))
        return jnp.where(jnp.isnan(start), start, best - start)

    return jax.vmap(of_one)(scored.points(inputs))


@dataclass(frozen=True)
class LikelihoodRegret(FlowScore):
    """`log p(x; theta) - max_k log p(x; theta_k)`, nats: 0 where nothing is gained.

    theta_k are the parameters after k = 0 ... `steps` steps of Adam of `learning_rate`
    on log p(x) of this image alone, upwards. After one small step it is nearly
    `-learning_rate sum_j |d log p / d theta_j|`.

    Only the parameters below `path` are trained, names in the flow's "params" from the
    outside in; by default those of the last bijector that has any, as `forward` applies
    them. Costs `2 + 3 steps` passes. Source: Xiao et al. 2020, section 4, where the
    encoder of an autoencoder is trained; a flow has none. ValueError for a flow without
    parameters, and a path below which there are none.
    """

    steps: int = 5
    learning_rate: float = 1e-3
    path: Path = ()
    label: str = "likelihood regret"
    ranges: ClassVar = ranges_of(
        steps=Within(0, integer=True), learning_rate=POSITIVE, path=Names()
    )

    @property
    def passes(self) -> float:
        return 2.0 + 3.0 * self.steps

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        chosen = self._chosen(network)
        program = partial(_regret, network, chosen, self.learning_rate, self.steps)

        def score(outputs: FlowOutputs) -> np.ndarray:
            inputs = network.inputs(outputs.events)
            return -in_batches(program, inputs, BATCH).astype(np.float64)

        return score

    def _chosen(self, network: ScoredFlow) -> dict[Path, Any]:
        flat = flatten_dict(parameters(network, self.name))
        path = tuple(self.path) or last_layer(network)
        chosen = {name: a for name, a in flat.items() if _starts(name, path)}
        if not chosen:
            raise ValueError(
                f"{self.name}: no parameters below {'/'.join(path)}; there are "
                f"{', '.join(sorted({'/'.join(name[:2]) for name in flat}))}"
            )
        return chosen

"""How far an image moves when its latents are disturbed a little."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.flows.noise import normal_noise
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.settings import Within, ranges_of


@compiled
def _errors(scored: ScoredFlow, size, penalty, inputs: FlowInputs):
    x = scored.points(inputs)
    z = scored.flow.apply(scored.variables, x, method="latents")
    parts, tree = jax.tree.flatten(z)
    count, widths = len(x), [p[0].size for p in parts]
    flat = jnp.concatenate([p.reshape(count, -1) for p in parts], 1)
    length = jnp.linalg.norm(flat, axis=1, keepdims=True)
    excess = jnp.sqrt(flat.shape[1]) - length
    towards = excess * flat / jnp.maximum(length, jnp.finfo(flat.dtype).tiny)
    noise = normal_noise(scored, inputs, "reconstruction", flat)
    moved = flat + size * noise + penalty * towards
    ends = np.cumsum(widths)[:-1]
    pieces = jnp.split(moved, ends, 1)
    shaped = [a.reshape(p.shape) for a, p in zip(pieces, parts, strict=True)]
    moved = jax.tree.unflatten(tree, shaped)
    back = scored.flow.apply(scored.variables, moved, method="from_latents")
    away = (x - back).reshape(count, -1)
    error = jnp.sqrt((away**2).sum(1))
    # an inverse that overflows is no reconstruction; latents that are NaN have no score
    error = jnp.where(jnp.isnan(error), jnp.inf, error)
    return jnp.where(jnp.isnan(flat).any(1), jnp.nan, error)


@dataclass(frozen=True)
class Reconstruction(FlowScore):
    """`-|x - f^-1(z + e)|`, z = f(x): the error of a disturbed reconstruction.

    x is the dequantised image on [0, 1)^D, or the vector; `e = size n + penalty
    (sqrt(D) - |z|) z / |z|`, n a draw of N(0, I) that the image determines. The second
    part pulls latents to the length that is typical of N(0, I), and so moves atypical
    images further. With both at 0, the rounding of the flow's inverse is left.

    An image whose reconstruction is not finite has the score -inf. Source: Osada et al.
    2022, penalised reconstruction error; the form of the penalty here is a choice of
    this library.
    """

    size: float = 0.1
    penalty: float = 0.0
    label: str = "reconstruction"
    low_share: ClassVar[float] = 0.8
    passes: ClassVar[float] = 3.0
    ranges: ClassVar = ranges_of(size=Within(0), penalty=Within(0))

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        program = partial(_errors, network, self.size, self.penalty)

        def score(outputs: FlowOutputs) -> np.ndarray:
            inputs = network.inputs(outputs.events)
            together = at_once(outputs.events, 250)
            return -in_batches(program, inputs, together).astype(np.float64)

        return score

"""The density of vectors whose numbers may follow from each other, by a small flow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import compiled, in_batches
from flowjax_ood.ood.descent import minimised, started
from flowjax_ood.ood.features import checked, inverse_root

# standard deviations beyond which all values count alike: squares stay finite
LIMIT = 1e4
# vectors that are scored together
BATCH = 1024

# dimensions -> a flow of such vectors
MakeFlow = Callable[[int], nn.Module]


@dataclass(frozen=True)
class _NegativeLogLikelihood:
    flow: nn.Module

    def __call__(self, params, rows, key):
        del key
        found: Any = self.flow.apply({"params": params}, rows["x"], method="log_prob")
        return -jnp.mean(found)


@dataclass(frozen=True, eq=False)
class VectorDensity:
    """`log p(u) = log p_flow(W' (u - mean)) + log sqrt det(W' W)`, nats.

    W `[D, R]` is the inverse root of the covariance of what was fitted to: columns in
    units of their own, and uncorrelated. Directions of less than 1e-10 of the largest
    variance are left out (`features.inverse_root`), and with them numbers that follow
    linearly from others; it is the density within the space of the others. Values
    beyond 10,000 standard deviations count alike.
    """

    mean: np.ndarray = field(repr=False)  # [D]
    whiten: np.ndarray = field(repr=False)  # [D, R]
    flow: nn.Module
    params: Any = field(repr=False)

    @classmethod
    def fit(
        cls,
        u: np.ndarray,
        flow: MakeFlow,
        *,
        steps: int,
        batch_size: int,
        learning_rate: float,
        seed: int,
        name: str,
    ) -> "VectorDensity":
        """Fit to vectors `[N, D]` by maximum likelihood; the last step counts.

        Raises ValueError for vectors that are not finite, no more of them than they
        have numbers, fewer than 2 directions that vary, and training that does not stay
        finite.
        """
        u = np.asarray(checked(u), np.float64)
        count, dims = u.shape
        if count <= dims:
            raise ValueError(
                f"{name} describes an input by {dims} numbers and got {count} training "
                f"inputs: give more than {dims}, or fewer numbers"
            )
        mean = u.mean(0)
        away = u - mean
        sizes = np.sqrt(np.mean(u * u, axis=0))
        whiten = inverse_root(away.T @ away / count, sizes)
        rank = whiten.shape[1]
        if rank < 2:
            raise ValueError(
                f"{name}: what describes the training inputs varies in {rank} direction"
                ", and a flow couples 2 or more: give other inputs, or more parts"
            )
        made = flow(rank)
        x = _whitened(u, mean, whiten)
        params = minimised(
            _NegativeLogLikelihood(made),
            started(made, seed, x[:2]),
            {"x": x},
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            name=name,
        )
        return cls(mean, whiten, made, params)

    @property
    def log_det(self) -> float:
        """`log sqrt det(W' W)`, nats."""
        return float(np.linalg.slogdet(self.whiten.T @ self.whiten)[1] / 2)

    def log_prob(self, u: np.ndarray) -> np.ndarray:
        """Log-density of vectors `[N, D]`: float64 `[N]`, NaN where they hold one."""
        x = _whitened(np.asarray(u, np.float64), self.mean, self.whiten)
        program = partial(_log_prob, self.flow, self.params)
        return np.asarray(in_batches(program, x, BATCH), np.float64) + self.log_det


def _whitened(u, mean, whiten) -> np.ndarray:
    return np.clip((u - mean) @ whiten, -LIMIT, LIMIT).astype(np.float32)


@partial(compiled, static_argnums=0)
def _log_prob(flow: nn.Module, params, x):
    return flow.apply({"params": params}, x, method="log_prob")

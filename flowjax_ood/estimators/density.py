"""Densities of standardised rows: a flow of two columns or more, a kernel for one."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flowjax_ood.distributions import Flow
from flowjax_ood.estimators.base import BLOCK
from flowjax_ood.models.real_nvp import TabularRealNVP
from flowjax_ood.novelty.parts import ROWS, drawn
from flowjax_ood.ood.batched import compiled, in_blocks
from flowjax_ood.ood.descent import CHUNK, rates

# rows of a step, drawn with replacement: as many of small tables, for one shape
BATCH = 128
# rows of the array that they are drawn from, at least
LEAST_LENGTH = 512
WEIGHT_DECAY = 1e-2
MAX_LOG_SCALE = 2.0
# share of held-out rows, the least likely, that choose no flow
TRIMMED = 0.1
# what a density that is not finite counts as, nats
LOWEST = -1e30


@dataclass(frozen=True, eq=False)
class FlowDensity:
    """`log p(z)` by a trained `TabularRealNVP` of float32 rows `[N, V]`, V above 1."""

    flow: Flow
    params: Any

    @classmethod
    def fit(
        cls,
        z: np.ndarray,
        held_out: np.ndarray,
        *,
        couplings: int,
        width: int,
        steps: int,
        learning_rate: float,
        seed: int,
    ) -> "FlowDensity":
        """Train by Adam with cosine decay; it starts as the standard normal.

        The flow after that number of steps counts under which `held_out` rows `[m, V]`
        are likeliest: of few rows it may be none. Without such rows there are none.
        Few programs serve tables of all lengths: rows are filled up to a power of two,
        steps run in chunks. Raises ValueError where training did not stay finite.
        """
        flow = TabularRealNVP(
            z.shape[1],
            couplings=couplings,
            mask="halves",
            width=width,
            zero_init=True,
            max_log_scale=MAX_LOG_SCALE,
        )
        rows = np.random.default_rng(seed)
        length = max(LEAST_LENGTH, 1 << (len(z) - 1).bit_length())
        padded = np.zeros((length, z.shape[1]), np.float32)
        padded[: len(z)] = z
        filled = jnp.asarray(padded)
        # uncompiled: it runs once, and compiling takes longer
        params = flow.init(jax.random.key(seed), filled[:2])["params"]
        best = cls(flow, params)
        if not len(held_out):
            return cls(flow, jax.device_get(params))
        state = params, optax.scale_by_adam().init(params)
        highest = _trimmed_mean(best.log_prob(held_out))
        for some in rates(learning_rate, steps):
            chosen = rows.integers(len(z), size=(CHUNK, BATCH)).astype(np.int32)
            state, losses = _advance(flow, state, filled, chosen, some)
            if not np.isfinite(losses).all():
                raise ValueError(
                    "training of the flow did not stay finite: give a smaller "
                    f"learning_rate than {learning_rate}"
                )
            now = cls(flow, state[0])
            reached = _trimmed_mean(now.log_prob(held_out))
            if reached > highest:
                best, highest = now, reached
        return cls(flow, jax.device_get(best.params))

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log-density of rows `[N, V]`: float64 `[N]`, nats."""
        found = in_blocks(partial(_log_prob, self.flow, self.params), z, BLOCK)
        found = np.asarray(found, np.float64)
        return np.where(np.isfinite(found), np.maximum(found, LOWEST), LOWEST)


@dataclass(frozen=True, eq=False)
class KernelDensity:
    """`log mean_i N(z; z_i, h^2)`: one column, which has no other to couple with.

    h is Silverman's (1986, equation 3.31): `0.9 min(s, q / 1.34) n^(-1/5)` by the
    standard deviation s and the interquartile range q.
    """

    centres: np.ndarray  # [m], float64
    bandwidth: float

    @classmethod
    def fit(cls, z: np.ndarray, seed: int) -> "KernelDensity":
        """Fit to one column `[n, 1]`; of more than 10,000 rows, so many are drawn."""
        centres = drawn(z[:, 0], ROWS, seed).astype(np.float64)
        low, high = np.percentile(centres, [25, 75])
        spread = centres.std()
        if high > low:
            spread = min(spread, (high - low) / 1.34)
        return cls(np.sort(centres), float(0.9 * spread * len(centres) ** -0.2))

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log-density of rows `[N, 1]`: float64 `[N]`, nats."""
        z, constant = z[:, 0].astype(np.float64), np.sqrt(2 * np.pi) * self.bandwidth
        found = np.empty(len(z))
        for start in range(0, len(z), BATCH):
            part = slice(start, start + BATCH)
            away = (z[part, None] - self.centres) / self.bandwidth
            logs = -(away**2) / 2
            top = logs.max(1)
            found[part] = top + np.log(np.exp(logs - top[:, None]).mean(1))
        return found - np.log(constant)


def automatic_steps(rows: int) -> int:
    """`10 sqrt(n)` in chunks of 25, from 100 to 1,000: the more rows, the longer."""
    return int(np.clip(CHUNK * round(10 * rows**0.5 / CHUNK), 100, 1000))


def _trimmed_mean(log_prob: np.ndarray) -> float:
    """Average all but the lowest tenth, which may be outliers."""
    return float(np.sort(log_prob)[int(TRIMMED * len(log_prob)) :].mean())


@partial(compiled, static_argnums=0)
def _advance(flow: Flow, state, x, chosen, rates):
    """Steps by rows `chosen [C, B]` of `x` at `rates [C]`: `(state, losses [C])`."""

    def loss(params, rows):
        found: Any = flow.apply({"params": params}, rows)
        return -found.mean()

    def one(state, at):
        params, moments = state
        rows, rate = at
        value, gradients = jax.value_and_grad(loss)(params, x[rows])
        updates, moments = optax.scale_by_adam().update(gradients, moments)
        params = jax.tree.map(
            lambda p, u: p - rate * (u + WEIGHT_DECAY * p), params, updates
        )
        return (params, moments), value

    return jax.lax.scan(one, state, (chosen, rates))


@partial(compiled, static_argnums=0)
def _log_prob(flow: Flow, params, x):
    return flow.apply({"params": params}, x)

"""Several statistics as one: normal scores of their ranks, weighed by covariance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from flowjax_ood.ood.batched import compiled


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["ordered", "spreads", "mean", "root", "weights"],
    meta_fields=[],
)
@dataclass(frozen=True)
class RankGauss:
    """`-(y - m)' C^-1 (y - m) - sum_j w_j max(0, -y_j)^2`, `y_j = Phi^-1(F_j)`.

    F_j is the rank of statistic j among those of m normal vectors that the statistics
    were not fitted to. Both ends of every statistic tell. Those of `weights` w_j above
    0, distances, count again where they are low: what is far is rarely normal, what is
    near mostly is. Beyond the least and the greatest of the m, y grows by
    `log(1 + d)`, d the distance in standard deviations: far vectors are not all alike,
    however few rank them.
    """

    ordered: jax.Array  # [J, m], ascending
    spreads: jax.Array  # [J]
    mean: jax.Array  # [J]
    root: jax.Array  # [J, J], C^-1 = root root'
    weights: jax.Array  # [J]

    @classmethod
    def fit(cls, values: np.ndarray, weights: Sequence[float]) -> "RankGauss":
        """Fit to statistics `[m, J]` of vectors that those were not fitted to.

        C is moved towards the identity by the share `J / (J + m)`: of few vectors, a
        covariance is not to be trusted. Raises ValueError where one is constant.
        """
        values = np.asarray(values, np.float64)
        spreads = values.std(0)
        if not (spreads > 0).all():
            raise ValueError(
                f"statistic {int(np.argmin(spreads > 0))} does not vary among "
                f"{len(values)} vectors, and ranks nothing"
            )
        count, statistics = values.shape
        ordered = jnp.asarray(np.sort(values, 0).T, jnp.float32)
        plain = cls(
            ordered,
            jnp.asarray(spreads, jnp.float32),
            jnp.zeros(statistics),
            jnp.eye(statistics),
            jnp.asarray(weights, jnp.float32),
        )
        y = np.asarray(_normal(plain, values.astype(np.float32)), np.float64)
        share = statistics / (statistics + count)
        covariance = np.cov(y.T, bias=True).reshape(statistics, statistics)
        covariance = (1 - share) * covariance + share * np.eye(statistics)
        root = np.linalg.cholesky(np.linalg.inv(covariance))
        both = {"mean": y.mean(0), "root": root}
        return replace(
            plain, **{k: jnp.asarray(a, jnp.float32) for k, a in both.items()}
        )

    def normal(self, values: jax.Array) -> jax.Array:
        """Normal scores of statistics `[B, J]`; a tie has the middle of its ranks."""

        def found(side):
            of_one = partial(jnp.searchsorted, side=side)
            return jax.vmap(of_one, in_axes=(0, 1), out_axes=1)(self.ordered, values)

        least = 1 / (self.ordered.shape[1] + 1)
        ranks = (found("left") + found("right") + 1) / 2
        y = ndtri(jnp.clip(ranks * least, least, 1 - least))
        under = (self.ordered[:, 0] - values) / self.spreads
        over = (values - self.ordered[:, -1]) / self.spreads
        return y + jnp.log1p(jnp.maximum(over, 0)) - jnp.log1p(jnp.maximum(under, 0))

    def score(self, values: jax.Array) -> jax.Array:
        """Combine statistics `[B, J]` into `[B]`, higher is more normal."""
        y = self.normal(values)
        far = jnp.sum(self.weights * jnp.minimum(y, 0) ** 2, axis=1)
        return -jnp.sum(((y - self.mean) @ self.root) ** 2, axis=1) - far


@compiled
def _normal(ranks: RankGauss, values) -> jax.Array:
    # one program: its forty steps one by one took two seconds to compile
    return ranks.normal(values)

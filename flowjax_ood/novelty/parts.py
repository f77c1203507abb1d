"""Statistics of a vector against normal ones; each a pytree of arrays.

All are of one projection on the principal components of the normal vectors, which is
computed once. `score` is pure, so that it can be compiled and exported; higher is more
normal.
"""

from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flowjax_ood.ood.flows.subspaces import Components
from flowjax_ood.ood.mahalanobis import Mahalanobis

# normal vectors that principal components and neighbours are of, at most
ROWS = 10_000


# of JAX, or of NumPy
Array = TypeVar("Array", jax.Array, np.ndarray)


class Coordinates(NamedTuple, Generic[Array]):
    """A batch of vectors as parts see it.

    `values [B, R]` in principal components, most variance first; `near [B, M]`, the
    first of them, whitened if the projection whitens; `outside [B]`, the squared length
    of what the components leave out.
    """

    values: Array
    near: Array
    outside: Array


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["mean", "scale", "directions", "deviations"],
    meta_fields=["near", "whiten"],
)
@dataclass(frozen=True)
class Projection:
    """`t = V' ((x - mean) / scale)`, the first R principal components.

    `scale [D]` are the standard deviations of features, or ones; `deviations [R]` those
    of the components. Distances are of the first `near` of them; with `whiten`, of
    `t / deviations`.
    """

    mean: jax.Array
    scale: jax.Array
    directions: jax.Array
    deviations: jax.Array
    near: int
    whiten: bool

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        *,
        components: int,
        near: int,
        whiten: bool,
        standardize: bool,
        seed: int,
    ) -> "Projection":
        """Fit to normal vectors `[n, D]`; at most `components`, at most `near`.

        Of more than 10,000 vectors, so many are drawn. Raises ValueError for vectors
        that are all equal.
        """
        x = drawn(np.asarray(x, np.float64), ROWS, seed)
        scale = np.ones(x.shape[1])
        if standardize:
            deviations = x.std(0)
            varies = deviations > 1e-6 * deviations.max()
            # a feature that never varied is measured as the typical other one: a change
            # in it is seen, and does not outweigh all else
            typical = np.median(deviations[varies]) if varies.any() else 1.0
            scale = np.where(varies, deviations, typical)
        found = Components.of(x / scale, "the detector")
        rank = min(components, len(found))
        return cls(
            mean=_float(found.mean * scale),
            scale=_float(scale),
            directions=_float(found.directions[:, :rank]),
            deviations=_float(np.sqrt(found.variances[:rank])),
            near=min(near, rank),
            whiten=whiten,
        )

    def __call__(self, x: jax.Array) -> Coordinates[jax.Array]:
        """Project vectors `[B, D]`."""
        away = (x - self.mean) / self.scale
        t = away @ self.directions
        outside = jnp.sum((away - t @ self.directions.T) ** 2, axis=1)
        near = t[:, : self.near]
        if self.whiten:
            near = near / self.deviations[: self.near]
        return Coordinates(t / self.deviations, near, outside)


class Part(Protocol):
    """A fitted statistic."""

    def score(self, at: Coordinates[jax.Array]) -> jax.Array:
        """`[B]`, higher is more normal."""


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["low", "high"])
@dataclass(frozen=True)
class Band:
    """`-sum_j t_j^2 / v_j` over components low ... high - 1: Hotelling's T^2.

    All components together are the squared Mahalanobis distance in their span.
    """

    low: int
    high: int

    def score(self, at: Coordinates[jax.Array]) -> jax.Array:
        return -jnp.sum(at.values[:, self.low : self.high] ** 2, axis=1)


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=[])
@dataclass(frozen=True)
class Residual:
    """`-Q`: the squared length outside all components."""

    def score(self, at: Coordinates[jax.Array]) -> jax.Array:
        return -at.outside


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["references", "squares"],
    meta_fields=["k"],
)
@dataclass(frozen=True)
class Neighbours:
    """`-|t - t_(k)|`, t_(k) the k-th nearest of the normal vectors."""

    references: jax.Array  # [n, M]
    squares: jax.Array  # [n]
    k: int

    @classmethod
    def fit(cls, near: np.ndarray, k: int) -> "Neighbours":
        """Fit to the coordinates `near` of normal vectors, `[n, M]`."""
        near = np.asarray(near, np.float64)
        return cls(_float(near), _float((near**2).sum(1)), min(k, len(near)))

    def nearest(self, near: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Distances to the k nearest and their numbers, nearest first: `[B, k]`."""
        squared = self.squares - 2 * near @ self.references.T
        _, rows = lax.top_k(-squared, self.k)
        # anew, as a difference: the sum above loses the digits of small distances
        away = near[:, None] - self.references[rows]
        return jnp.linalg.norm(away, axis=2), rows

    def score(self, at: Coordinates[jax.Array]) -> jax.Array:
        return -self.nearest(at.near)[0][:, -1]


@partial(jax.tree_util.register_dataclass, data_fields=["gaussians"], meta_fields=[])
@dataclass(frozen=True)
class Clusters:
    """`-min_k (t - m_k)' S^-1 (t - m_k)` over classes, or clusters of k-means."""

    gaussians: Mahalanobis

    @classmethod
    def fit(cls, near: np.ndarray, labels: np.ndarray) -> "Clusters":
        return cls(Mahalanobis.fit(near, labels, shrinkage="ledoit_wolf"))

    def score(self, at: Coordinates[jax.Array]) -> jax.Array:
        return self.gaussians.score(at.near)


# statistics whose low values are far from what is normal
Distance = Residual | Neighbours | Clusters


def drawn(x: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draw at most so many rows by a seed; they stay in order."""
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(seed).permutation(len(x))[:most])]


def _float(x) -> jax.Array:
    return jnp.asarray(x, jnp.float32)

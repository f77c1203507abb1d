"""Mahalanobis distance to Gaussians fitted to features."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flowjax_ood.ood.checks import check_labels
from flowjax_ood.ood.features import (
    Shrinkage,
    checked,
    class_indices,
    inverse_root,
    ledoit_wolf,
    rounded,
    shrunk,
)
from flowjax_ood.ood.moments import Moments


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["center", "whiten", "means", "background"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Mahalanobis:
    """`score(x) = - min_k (x - mu_k)^T S^+ (x - mu_k)`: 0 at a mean, less elsewhere.

    mu_k are the means of the classes and S the covariance about them, one for all
    classes (Lee et al. 2018); without labels there is one mean. With `relative`, the
    squared distance to one Gaussian for all features is taken off (Ren et al. 2021),
    which weighs down directions in which classes do not differ.

    Made by `fit`. A pytree: it can be passed through `jit`. Scores are float32 (float64
    where JAX has that enabled); the fit is float64 on the host.
    """

    center: jax.Array  # [D]
    whiten: jax.Array  # [D, D]
    means: jax.Array  # [K, D], less the center, whitened
    background: jax.Array | None  # [D, D], the whitening of all features

    @classmethod
    def fit(
        cls,
        features,
        labels=None,
        *,
        shrinkage: Shrinkage = 0.0,
        relative: bool = False,
    ) -> "Mahalanobis":
        """Fit to in-distribution features.

        Args:
            features: finite numbers `[N, D]`.
            labels: integers `[N]`; without them there is one mean.
            shrinkage: in [0, 1], how far the covariance is moved towards a multiple of
                the identity; or "ledoit_wolf". At 0, directions without variance (dead
                features, N <= D) are left out by a pseudo-inverse: a change in them
                goes unnoticed.
            relative: take off the distance to one Gaussian for all features. Both
                covariances are shrunk, each towards its own multiple.

        Raises:
            TypeError: features that are no real numbers, labels that are no integers.
            ValueError: features that are not finite, not `[N, D]` or do not vary,
                labels that do not go with them, another shrinkage, and `relative` with
                fewer than two classes.
        """
        x = np.asarray(checked(features))
        if labels is not None:
            labels = check_labels(labels, len(x))
        moments = Moments(x.shape[1]).add(x, labels)
        if shrinkage != "ledoit_wolf":
            return cls.of_moments(moments, shrinkage=shrinkage, relative=relative)
        one = np.zeros(len(x), np.int64)
        classes = one if labels is None else class_indices(labels, len(x))
        within = ledoit_wolf(x, moments.means, classes, moments.covariance)
        total = None
        if relative:
            total = ledoit_wolf(x, moments.mean[None], one, moments.total)
        return cls._of(moments, within, total)

    @classmethod
    def of_moments(
        cls, moments: Moments, *, shrinkage: float = 0.0, relative: bool = False
    ) -> "Mahalanobis":
        """Fit to the moments of features, as gathered from batches.

        As `fit`, but for the shrinkage "ledoit_wolf", which takes the features
        themselves. Raises ValueError as `fit` does.
        """
        return cls._of(moments, shrinkage, shrinkage if relative else None)

    @classmethod
    def _of(cls, moments, within: float, total: float | None) -> "Mahalanobis":
        """With the shrinkage of both covariances; `total` None is not relative."""
        if total is not None and len(moments.means) < 2:
            raise ValueError("relative=True needs labels of two classes or more")

        def whitening(covariance, shrinkage):
            covariance = shrunk(covariance, shrinkage)
            return _square(inverse_root(covariance, moments.sizes))

        # what `score` takes off, exactly
        center = rounded(moments.mean)
        whiten, background = whitening(moments.covariance, within), None
        if total is not None:
            background = jnp.asarray(whitening(moments.total, total))
        return cls(
            center=jnp.asarray(center),
            whiten=jnp.asarray(whiten),
            means=jnp.asarray((moments.means - center) @ whiten),
            background=background,
        )

    def score(self, features) -> jax.Array:
        """Score features `[B, D]`: `[B]`, higher is more in-distribution.

        Raises TypeError or ValueError for features of another D, or not finite.
        """
        return _score(self, jnp.asarray(checked(features, len(self.center))))


def _square(whiten: np.ndarray) -> np.ndarray:
    """`[D, R]` with columns of zeros for what was left out: of one shape for any R.

    So a program compiled for one fit serves those of other features, too.
    """
    dims, rank = whiten.shape
    return np.pad(whiten, ((0, 0), (0, dims - rank)))


@jax.jit
def _score(detector: Mahalanobis, x: jax.Array) -> jax.Array:
    x = x - detector.center

    def whitened(by):
        return jnp.matmul(x, by, precision="highest")

    u = whitened(detector.whiten)
    # one class at a time: [B, K, R] need not fit in memory
    distances = lax.map(lambda mean: jnp.sum((u - mean) ** 2, axis=1), detector.means)
    nearest = jnp.min(distances, axis=0)
    if detector.background is not None:
        nearest -= jnp.sum(whitened(detector.background) ** 2, axis=1)
    return -nearest

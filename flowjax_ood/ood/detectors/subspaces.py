"""Detectors that split features f `[B, D]` by the training features' subspace."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import TINY, float32
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import SHARE_OR_COUNT, ranges_of
from flowjax_ood.ood.summaries import MomentsOf
from flowjax_ood.precision import at_least_float32

# the share of the variance that the published rule keeps
KEPT = 0.9


def directions(dims: float, size: int) -> int:
    """Count the `dims` of `size` features: below 1 a share of them, else as many."""
    return round(dims * size) if dims < 1 else int(dims)


def neco(z, f, mean, scale, basis, max_logit):
    """`|P' h| / |h|`, `h = (f - m) / s`, times `max_c z_c` if `max_logit`.

    m and s are the mean and standard deviation of each training feature, P their
    principal directions `[D, d]`: in-distribution features collapse into their span
    (Ben Ammar et al. 2024).
    """
    h = (at_least_float32(f) - mean) / scale
    inside = jnp.linalg.norm(h @ basis, axis=1)
    share = inside / jnp.maximum(jnp.linalg.norm(h, axis=1), TINY)
    return share * jnp.max(z, axis=1) if max_logit else share


def residual(f, origin, null_space):
    """`- |R' (f - u)|`, R `[D, D - d]` the training features' least directions."""
    return -jnp.linalg.norm((f - origin) @ null_space, axis=1)


def residual_space(head, moments, dims: float, name: str):
    """Split feature space by training features about the head's origin, as ViM does.

    Returns `u = - (W')^+ b` `[D]`, and the directions R `[D, D - d]` of least second
    moment about it (Wang et al. 2022). `dims` d; below 1, a share of D; 0 is D/2, or
    the published 1000, 512 for larger features. Raises ValueError for d not below D.
    """
    w, b = (np.asarray(a, np.float64) for a in head)
    size = len(w)
    published = 1000 if size >= 2048 else 512 if size >= 768 else size // 2
    dims = directions(dims, size) or published
    if not 0 < dims < size:
        raise ValueError(f"{name} needs 0 < dims < {size}, the features, got {dims}")
    # weight decay leaves heads whose columns sum to 0 but for rounding: a direction
    # that float32 does not hold has no say
    rank_at = max(w.shape) * np.finfo(np.float32).eps
    origin = -np.linalg.pinv(w.T, rcond=rank_at) @ b
    _, vectors = np.linalg.eigh(moments.second_moment(origin))
    return origin, vectors[:, : size - dims]


@dataclass(frozen=True)
class Residual(Detector):
    """ViM's residual alone: length outside the training features' subspace.

    `dims` of that as in ViM (Wang et al. 2022); see `residual`.
    """

    dims: float = 0
    name = "Residual"
    grid: ClassVar = {"dims": (0.125, 0.25, 0.5, 0.75)}
    requires = Requires(train_data=True, head=True)
    ranges = ranges_of(dims=SHARE_OR_COUNT)

    def summaries(self, network):
        return (MomentsOf(by_class=False),)

    def prepared(self, network, given):
        (moments,) = (given.summary(s) for s in self.summaries(network))
        space = residual_space(network.head, moments, self.dims, self.name)
        arrays = dict(zip(("origin", "null_space"), space))
        return score_of(residual, "features", **float32(arrays))


@dataclass(frozen=True)
class NECO(Detector):
    """Share of f's length in the principal subspace of training features; see `neco`.

    * `dims` of that subspace; below 1, a share of D; 0 is the fewest that hold 90 % of
      the variance, the paper's rule;
    * `max_logit`: multiply by the largest logit, as the paper does for transformers
      and not for convolutional networks.

    A feature that does not vary in training is not scaled, only centred. Raises
    ValueError for `dims` not below D.
    """

    dims: float = 0
    max_logit: bool = False
    name = "NECO"
    grid: ClassVar = {"dims": (0, 0.125, 0.25, 0.5, 0.75)}
    requires = Requires(train_data=True)
    ranges = ranges_of(dims=SHARE_OR_COUNT)

    def summaries(self, network):
        return (MomentsOf(by_class=False),)

    def prepared(self, network, given):
        moments = given.summary(MomentsOf(by_class=False))
        mean, covariance = moments.mean, moments.total
        size = len(mean)
        if self.dims >= size > 1:
            raise ValueError(
                f"NECO needs dims below {size}, the features, got {self.dims}"
            )
        scale = np.sqrt(np.diag(covariance))
        scale = np.where(scale > TINY * np.maximum(np.abs(mean), 1), scale, 1)
        variances, basis = np.linalg.eigh(covariance / scale / scale[:, None])
        variances, basis = variances[::-1], basis[:, ::-1]
        held = np.cumsum(variances) / max(variances.sum(), TINY)
        dims = directions(self.dims, size) or int(np.searchsorted(held, KEPT)) + 1
        # columns of zeros for the others: of one shape for any number of them
        basis = np.where(np.arange(size) < dims, basis, 0)
        arrays = {"mean": mean, "scale": scale, "basis": basis}
        settings = {"max_logit": self.max_logit}
        parts = ("logits", "features")
        return score_of(neco, *parts, settings=settings, **float32(arrays))

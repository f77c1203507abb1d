"""Detectors that compare features f `[B, D]` with those of training inputs."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import TINY, float32, row_lengths, unit
from flowjax_ood.ood.detectors.logits import energy
from flowjax_ood.ood.detectors.subspaces import residual, residual_space
from flowjax_ood.ood.features import SHRINKAGE, Shrinkage
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.mahalanobis import Mahalanobis
from flowjax_ood.ood.moments import CHUNK
from flowjax_ood.ood.nearest_neighbors import NearestNeighbors
from flowjax_ood.ood.settings import (
    COUNT,
    POSITIVE,
    SHARE_OR_COUNT,
    OneOf,
    Within,
    ranges_of,
)
from flowjax_ood.ood.summaries import MEAN_FEATURE, Bank, MomentsOf, Summary

# float32 sums may be wrong by this share of a length
ROUNDING = 1e-5


def vim(z, f, origin, null_space, alpha):
    """`logsumexp(z) - alpha |R' (f - u)|` (Wang et al. 2022)."""
    return energy(z) + alpha * residual(f, origin, null_space)


def she(z, f, patterns, metric="inner_product"):
    """`<f, m_c>`, c the predicted class, m `[C, D]` (Zhang et al. 2023).

    `metric`: "euclidean" is `- |f - m_c|`, "cosine" `<f, m_c> / (|f| |m_c|)`.
    """
    nearest = patterns[jnp.argmax(z, axis=1)]
    if metric == "euclidean":
        return -jnp.linalg.norm(f - nearest, axis=1)
    if metric == "cosine":
        f, nearest = unit(f), unit(nearest)
    return jnp.sum(f * nearest, axis=1)


def boundary_lengths(w) -> np.ndarray:
    """`|w_i - w_j|` of the columns of w `[D, C]`: float64 `[C, C]`.

    From products, `|w_i|^2 + |w_j|^2 - 2 w_i w_j`, without an array of all differences.
    For columns nearly alike that cancels: where it leaves less than 1e-6 of the terms,
    whose rounding is 1e-15 of them, it is done anew by the difference.
    """
    w = np.asarray(w, np.float64)
    squares = np.sum(w * w, axis=0)
    terms = squares[:, None] + squares
    squared = terms - 2 * (w.T @ w)
    for i in range(len(squared)):
        alike = np.flatnonzero(squared[i] < 1e-6 * terms[i])
        squared[i, alike] = np.sum((w[:, alike] - w[:, i : i + 1]) ** 2, axis=0)
    return np.sqrt(squared)


def fdbd(z, f, lengths, mean):
    """`1/(C-1) sum_{c != y} |z_y - z_c| / (|w_y - w_c| |f - mean|)` (Liu & Qin 2024).

    The mean distance to the decision boundaries over that to the training mean; y is
    the predicted class, `lengths` `[C, C]` those of `boundary_lengths`.
    """
    y = jnp.argmax(z, axis=1)
    gaps = jnp.take_along_axis(z, y[:, None], axis=1) - z
    # two classes with the same weights have no boundary between them
    lengths = lengths[y]
    distance = jnp.where(lengths > TINY, gaps / jnp.maximum(lengths, TINY), 0)
    away = jnp.linalg.norm(f - mean, axis=1)
    others = max(z.shape[1] - 1, 1)
    return jnp.sum(distance, axis=1) / (others * jnp.maximum(away, TINY))


def grad_norm(z, f, temperature=1.0):
    """`|f|_1 |p - 1/C|_1 / T`: the L1 norm of dCE(uniform, p)/dW, p = softmax(z / T).

    Source: Huang et al. 2021.
    """
    p = jax.nn.softmax(z / temperature, axis=1)
    uneven = jnp.sum(jnp.abs(p - 1 / z.shape[1]), axis=1)
    return jnp.sum(jnp.abs(f), axis=1) * uneven / temperature


def nn_guide(z, f, bank, k):
    """Multiply energy by the mean of the k largest `<f, E_i b_i>`, a bank `[N, D]`.

    All of length 1 before E_i, the energies of the bank's rows (Park et al. 2023).
    """
    guidance = jax.lax.top_k(unit(f) @ bank.T, k)[0]
    return energy(z) * jnp.mean(guidance, axis=1)


def _lengths(f, origin, null_space) -> np.ndarray:
    """Lengths of the residual of rows f, and of `f - origin`: float64 `[2, n]`."""
    away = f - origin.astype(f.dtype)
    return np.array([row_lengths(a) for a in (away @ null_space.astype(f.dtype), away)])


def _distance(f, fitted):
    return fitted.score(f)


def _score_of_both(function, arrays, settings=()):
    parts = ("logits", "features")
    return score_of(function, *parts, settings=settings, **float32(arrays))


@dataclass(frozen=True)
class KNN(Detector):
    """Distance to the k-th nearest training feature, all of length 1."""

    k: int = 50
    name = "KNN"
    grid: ClassVar = {"k": (1, 5, 10, 50, 100, 200, 500, 1000)}
    ranges = ranges_of(k=COUNT)
    requires = Requires(train_data=True)

    def summaries(self, network):
        return (Bank(),)

    def prepared(self, network, given):
        features = given.summary(Bank()).features
        fitted = NearestNeighbors.fit(features, k=min(self.k, len(features)))
        return score_of(_distance, "features", fitted=fitted)


def mahalanobis_of(given, moments: MomentsOf, **settings) -> Mahalanobis:
    """Fit to the rows of training outputs that the moments are of."""
    if settings["shrinkage"] != "ledoit_wolf":
        return Mahalanobis.of_moments(given.summary(moments), **settings)
    return Mahalanobis.fit(moments.rows(given.train), given.labels, **settings)


@dataclass(frozen=True)
class MahalanobisFeatures(Detector):
    """Distance of the features to the nearest class (Lee et al. 2018), one layer.

    `shrinkage` of the covariance as in `Mahalanobis.fit`: above 0, a feature that was
    dead in training and wakes up is noticed.
    """

    shrinkage: Shrinkage = 0.0
    name = "Mahalanobis (features)"
    relative = False
    grid: ClassVar = {"shrinkage": (0.0, 0.01, 0.1, "ledoit_wolf")}
    moments = MomentsOf()
    requires = Requires(train_data=True, labels=True)
    ranges = ranges_of(shrinkage=SHRINKAGE)

    def summaries(self, network):
        return None if self.shrinkage == "ledoit_wolf" else (self.moments,)

    def fitted(self, given) -> Mahalanobis:
        settings = {"shrinkage": self.shrinkage, "relative": self.relative}
        return mahalanobis_of(given, self.moments, **settings)

    def prepared(self, network, given):
        return score_of(_distance, "features", fitted=self.fitted(given))


@dataclass(frozen=True)
class RelativeMahalanobis(MahalanobisFeatures):
    """The distance less that to one Gaussian of all features (Ren et al. 2021)."""

    name = "Relative Mahalanobis"
    relative = True


@dataclass(frozen=True)
class ViM(Detector):
    """Energy less the matched length of f outside the training features' subspace.

    `dims`: of that subspace; below 1, a share of D; 0 is D/2, or the published 1000,
    512 for larger features.
    Where training features have no residual but rounding (of up to `dims` rows, or with
    dead features), what counts is the residual: energy breaks ties. Raises ValueError
    where the mean largest logit of training inputs, which alpha is of, is not positive.
    """

    dims: float = 0
    name = "ViM"
    grid: ClassVar = {"dims": (0.125, 0.25, 0.5, 0.75)}
    ranges = ranges_of(dims=SHARE_OR_COUNT)
    requires = Requires(train_data=True, head=True)

    # of the subspace, and, for alpha, of what is left
    def summaries(self, network):
        return MomentsOf(by_class=False), Bank()

    def prepared(self, network, given):
        moments, bank = (given.summary(s) for s in self.summaries(network))
        origin, null_space = residual_space(network.head, moments, self.dims, self.name)
        parts = [
            _lengths(bank.features[start : start + CHUNK], origin, null_space)
            for start in range(0, len(bank.features), CHUNK)
        ]
        length, whole = np.concatenate(parts, axis=1).mean(1)
        # not shorter than float32 can tell: alpha is large there, and not noise
        length = max(length, ROUNDING * whole)
        largest = np.max(bank.logits, axis=1).mean(dtype=np.float64)
        if not largest > 0:
            raise ValueError(
                "ViM matches the residual to the mean of training inputs' largest "
                f"logits, which must be positive, not {largest:.3g}: use Residual"
            )
        alpha = largest / max(length, TINY)
        arrays = {"origin": origin, "null_space": null_space, "alpha": alpha}
        return _score_of_both(vim, arrays)


@dataclass(frozen=True)
class SHE(Detector):
    """Inner product with the mean feature of the predicted class, of those correct.

    `metric`: or minus the distance, "euclidean", or the "cosine"; see `she`.
    """

    metric: Literal["inner_product", "euclidean", "cosine"] = "inner_product"
    name = "SHE"
    grid: ClassVar = {"metric": ("inner_product", "euclidean", "cosine")}
    requires = Requires(train_data=True, labels=True, class_numbers=True)
    ranges = ranges_of(metric=OneOf(("inner_product", "euclidean", "cosine")))

    def summaries(self, network):
        return (_Patterns(),)

    def prepared(self, network, given):
        patterns = {"patterns": given.summary(_Patterns())}
        return _score_of_both(she, patterns, {"metric": self.metric})


@dataclass(frozen=True)
class _Patterns(Summary):
    """The mean feature of every class, of the rows predicted as it: `[C, D]`.

    A class that is never right is represented by all there are of it, one without rows
    by zeros.
    """

    def start(self, seed, bank):
        return 0, 0.0

    def add(self, state, outputs, labels):
        z, f = outputs.logits, outputs.features
        # of all rows of a class, and of those predicted as it
        counts = np.zeros((2, z.shape[1], 1))
        sums = np.zeros((2, z.shape[1], f.shape[1]))
        correct = z.argmax(1) == labels
        for c in np.unique(labels):
            of_class = labels == c
            for part, rows in enumerate((of_class, of_class & correct)):
                counts[part, c] = rows.sum()
                sums[part, c] = f[rows].sum(0, dtype=np.float64)
        return state[0] + counts, state[1] + sums

    def finish(self, state):
        (of_class, correct), (of_all, of_correct) = state
        right = correct > 0
        means = np.where(right, of_correct, of_all)
        return means / np.maximum(np.where(right, correct, of_class), 1)


@dataclass(frozen=True)
class FDBD(Detector):
    """Distance to the decision boundaries, regularised by that to the mean feature."""

    name = "fDBD"
    requires = Requires(train_data=True, head=True)

    def summaries(self, network):
        return (MEAN_FEATURE,)

    def prepared(self, network, given):
        mean = given.summary(MEAN_FEATURE)
        lengths = boundary_lengths(network.head[0])
        return _score_of_both(fdbd, {"lengths": lengths, "mean": mean})


@dataclass(frozen=True)
class GradNorm(Detector):
    """L1 norm of a gradient of the last layer, in closed form: no backward pass.

    `temperature` of the softmax.
    """

    temperature: float = 1.0
    name = "GradNorm"
    grid: ClassVar = {"temperature": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)}
    ranges = ranges_of(temperature=POSITIVE)

    def prepared(self, network, given):
        return _score_of_both(grad_norm, {"temperature": self.temperature})


@dataclass(frozen=True)
class NNGuide(Detector):
    """Energy guided by the nearest of a bank: `share` of the training features.

    Of a stream, as many of them as its bank holds.
    """

    k: int = 10
    share: float = 0.1
    name = "NNGuide"
    grid: ClassVar = {"k": (1, 10, 50, 100), "share": (0.01, 0.1, 1.0)}
    ranges = ranges_of(k=COUNT, share=Within(0, 1, "(", hint="a share, not per cent"))
    requires = Requires(train_data=True)

    def summaries(self, network):
        return (Bank(),)

    def prepared(self, network, given):
        kept = given.summary(Bank())
        size = min(max(1, round(self.share * kept.total)), len(kept.features))
        z, f = kept.logits, kept.features
        if size < len(f):
            rows = np.random.default_rng(given.seed).permutation(len(f))[:size]
            z, f = z[rows], f[rows]
        z = np.asarray(z, np.float64)
        top = z.max(1)
        energies = top + np.log(np.exp(z - top[:, None]).sum(1))
        by = energies / np.maximum(row_lengths(f), TINY)
        bank = {"bank": f * np.asarray(by, np.float32)[:, None]}
        return _score_of_both(nn_guide, bank, {"k": min(self.k, size)})

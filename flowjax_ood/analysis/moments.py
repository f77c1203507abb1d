"""Moments of pairs (prediction, target), merged exactly over batches.

Sums of squares are taken about the mean of each batch and merged (Chan, Golub and
LeVeque 1983), all in float64: over 10,000 images, the textbook `E[x^2] - E[x]^2` in
float32 can lose every digit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# share of the mean square: a variance below it is rounding
CONSTANT = 1e-14


def without_nan(measures: Mapping[str, float]) -> dict[str, float | None]:
    """Replace what is not finite by None, for JSON."""
    return {k: v if np.isfinite(v) else None for k, v in measures.items()}


class PairMoments:
    """Fit of predictions to targets, at each position and over all positions.

    `add` takes batches of images; up to rounding, the result depends neither on the
    sizes of the batches nor on their order. All measures are NaN before the first
    image, and where a variance is zero.

    * pooled measures treat the N K pairs as one sample: `correlation`, and
      `r2 = 1 - sum (target - prediction)^2 / sum (target - mean)^2`, of the prediction
      as it is. It can be negative: the best constant would have been better. After the
      best linear fit it would be `r2_linear = correlation^2`;
    * measures *within* positions centre each position over images first:
      `correlation_within`, and `r2_within`, whose denominator is the squared error of
      the mean image. A prediction that is the same for all images can have a high
      `correlation`; its `correlation_within` is undefined, its `r2_within` at most 0.
    """

    def __init__(self):
        self.count = 0
        # means of predictions and of targets, and sums (pp, tt, pt) about them
        self._mean, self._squares = np.full((2, 1), np.nan), np.full((3, 1), np.nan)

    def add(self, prediction, target) -> None:
        """Add N images of K positions each: prediction and target are both `[N, K]`."""
        p, t = (np.asarray(a, np.float64) for a in (prediction, target))
        if p.ndim != 2 or p.shape != t.shape:
            raise ValueError(
                f"prediction and target must both be [N, K], got {p.shape} and "
                f"{t.shape}"
            )
        if not len(p):
            return
        # what is not finite makes measures NaN, without a warning
        with np.errstate(invalid="ignore", over="ignore"):
            self._add(p, t)

    def _add(self, p: np.ndarray, t: np.ndarray) -> None:
        mean = np.stack([p.mean(0), t.mean(0)])
        dp, dt = p - mean[0], t - mean[1]
        squares = np.stack([(dp * dp).sum(0), (dt * dt).sum(0), (dp * dt).sum(0)])
        if self.count == 0:
            self.count, self._mean, self._squares = len(p), mean, squares
            return
        if mean.shape != self._mean.shape:
            raise ValueError(
                f"{mean.shape[1]} positions, but {self._mean.shape[1]} in earlier calls"
            )
        total = self.count + len(p)
        step = mean - self._mean
        between = np.stack([step[0] ** 2, step[1] ** 2, step[0] * step[1]])
        self._squares += squares + between * (self.count * len(p) / total)
        self._mean += step * (len(p) / total)
        self.count = total

    correlation = property(lambda self: self._correlation(self._pooled()))
    correlation_within = property(lambda self: self._correlation(self._within()))
    r2 = property(lambda self: self._r2(self._pooled()))
    r2_within = property(lambda self: self._r2(self._within()))
    r2_linear = property(lambda self: self.correlation**2)

    def measures(self) -> dict[str, float]:
        """All measures by name."""
        names = ("correlation", "correlation_within", "r2", "r2_linear", "r2_within")
        with np.errstate(invalid="ignore", over="ignore"):
            return {name: getattr(self, name) for name in names}

    def _within(self) -> np.ndarray:
        """Sums `(pp, tt, pt)` about the mean of each position."""
        return self._squares.sum(1)

    def _pooled(self) -> np.ndarray:
        """Sums `(pp, tt, pt)` about the mean of everything."""
        p, t = self._mean - self._mean.mean(1, keepdims=True)
        between = np.array([(p * p).sum(), (t * t).sum(), (p * t).sum()])
        return self._within() + self.count * between

    def _correlation(self, sums: np.ndarray) -> float:
        if self._constant(sums).any():
            return float("nan")
        return float(np.clip(sums[2] / np.sqrt(sums[0] * sums[1]), -1, 1))

    def _constant(self, sums: np.ndarray) -> np.ndarray:
        """Whether p, and whether t, varies by less than float32 resolves."""
        raw = self._squares[:2].sum(1) + self.count * (self._mean**2).sum(1)
        return ~(sums[:2] > CONSTANT * raw)

    def _r2(self, about: np.ndarray) -> float:
        if self._constant(about)[1]:
            return float("nan")
        pp, tt, pt = self._within()
        error = self._mean[0] - self._mean[1]
        residual = pp + tt - 2 * pt + self.count * (error @ error)
        return float(1 - residual / about[1])

"""OpenMax: logits less what tails of training distances leave of them."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import float32, float64
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import COUNT, ranges_of
from flowjax_ood.precision import at_least_float32

# added to distances before the fit, by the library that the authors used
SHIFT = 10_000.0
# of the longest distance: tails spread by less count as spread by this
LEAST_SPREAD = 1e-6
# exp(exp(ALL)) is infinite: all of the distances of training are shorter
ALL = 80.0


def weibull_tail(distances) -> tuple[float, float, float]:
    """Fit a Weibull distribution to distances: `(start, shape, offset)`.

    `F(d) = 1 - exp(-exp(shape log(1 + (d - start) / SHIFT) - offset))`, the likeliest
    of all with the origin at `start - SHIFT`, start the shortest distance.
    """
    from scipy.optimize import brentq

    d = np.asarray(distances, np.float64)
    start, spread = d.min(), np.ptp(d)
    least = LEAST_SPREAD * max(np.abs(d).max(), LEAST_SPREAD)
    if spread <= least:
        # a step just behind them
        return start, SHIFT / least, 0.0
    logs = np.log1p((d - start) / SHIFT)
    top = logs.max()

    def slope(shape):
        weights = np.exp(shape * (logs - top))
        return weights @ logs / weights.sum() - logs.mean() - 1 / shape

    # it rises from -infinity to what the longest is above the mean
    low = high = SHIFT / spread
    while slope(low) > 0:
        low /= 2
    while slope(high) < 0:
        high *= 2
    shape = brentq(slope, low, high, rtol=1e-12)
    offset = shape * top + np.log(np.mean(np.exp(shape * (logs - top))))
    return start, shape, offset


def openmax(z, centers, starts, shapes, offsets, alpha):
    """`log(1 / P(unknown) - 1)` of `softmax([v z, sum (1 - v) z])`.

    `v_c = 1 - F_c(|z - m_c|) (alpha + 1 - i) / alpha` for the class of the i-th largest
    logit, i up to alpha, and 1 for others; F as in `weibull_tail`, m `[C, C]`. By the
    authors' code: their paper's Algorithm 2 has `exp(-x)` for `1 - exp(-x)`, which
    would weigh down the logits of inputs at the centre. (Bendale & Boult 2016)
    """
    z = at_least_float32(z)
    best = jax.lax.top_k(z, alpha)[1]
    # of those classes alone: [B, alpha, C]
    away = jnp.linalg.norm(z[:, None] - centers[best], axis=2)
    exponent = shapes[best] * jnp.log1p((away - starts[best]) / SHIFT) - offsets[best]
    outside = -jnp.expm1(-jnp.exp(jnp.minimum(exponent, ALL)))
    taken = outside * (alpha - jnp.arange(alpha)) / alpha
    taken *= jnp.take_along_axis(z, best, axis=1)
    rows = jnp.arange(len(z))[:, None]
    known = jax.nn.logsumexp(z.at[rows, best].add(-taken), axis=1)
    return known - jnp.sum(taken, axis=1)


@dataclass(frozen=True)
class OpenMax(Detector):
    """Log-odds of being of a known class, revised by training distances; see `openmax`.

    Distances are Euclidean, as in the paper, of the logits to their mean in each class,
    over training inputs that are predicted rightly.

    * `tail`: that many of the longest are fitted to in each class;
    * `alpha`: so many of the largest logits are revised, all if there are fewer.

    A class that is never right is fitted to all of its inputs; any is far from one that
    has none.
    """

    tail: int = 20
    alpha: int = 10
    name = "OpenMax"
    grid: ClassVar = {"tail": (10, 20, 50), "alpha": (3, 5, 10)}
    requires = Requires(train_data=True, labels=True, class_numbers=True)
    ranges = ranges_of(tail=COUNT, alpha=COUNT)

    def prepared(self, network, given):
        z, _ = float64(given.train)
        labels, right = np.asarray(given.labels), z.argmax(1)
        right = right == labels
        classes = z.shape[1]
        centers = np.zeros((classes, classes))
        # 1 - exp(-exp(ALL)): far, whatever the distance
        tails = np.tile([0.0, 0.0, -ALL], (classes, 1))
        for c in np.unique(labels):
            rows = labels == c
            rows = z[rows & right] if (rows & right).any() else z[rows]
            centers[c] = rows.mean(0)
            away = np.linalg.norm(rows - centers[c], axis=1)
            tails[c] = weibull_tail(np.sort(away)[-self.tail :])
        starts, shapes, offsets = tails.T
        arrays = {"starts": starts, "shapes": shapes, "offsets": offsets}
        arrays = float32({"centers": centers} | arrays)
        settings = {"alpha": min(self.alpha, classes)}
        return score_of(openmax, "logits", settings=settings, **arrays)

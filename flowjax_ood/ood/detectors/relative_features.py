"""Detectors of features f `[B, D]` relative to a mean of training features."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import (
    TINY,
    float32,
)
from flowjax_ood.ood.detectors.logits import energy
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import Within, ranges_of
from flowjax_ood.ood.summaries import MEAN_FEATURE, MeanOf, PredictedMeans
from flowjax_ood.precision import at_least_float32


def nci(z, f, mean, w, alpha):
    """`w_y (f - m) / |f - m| + alpha |f|_1`, y the predicted class (Liu & Qin 2025).

    m is the mean of all training features. With neural collapse, f - m of an
    in-distribution input points along the weights w `[C, D]` of its class.
    """
    f = at_least_float32(f)
    away = f - mean
    along = jnp.sum(w[jnp.argmax(z, axis=1)] * away, axis=1)
    length = jnp.maximum(jnp.linalg.norm(away, axis=1), TINY)
    return along / length + alpha * jnp.sum(jnp.abs(f), axis=1)


def caref(z, f, means):
    """`- |f - m_y|_1 / |f|_1`, m `[C, D]`, y the predicted class (Ling et al. 2025)."""
    f = at_least_float32(f)
    away = jnp.sum(jnp.abs(f - means[jnp.argmax(z, axis=1)]), axis=1)
    return -away / jnp.maximum(jnp.sum(jnp.abs(f), axis=1), TINY)


def cadref(z, f, means, signs, average):
    """`- (E+ / S + E- / average)`, S the energy of z (Ling et al. 2025).

    E+ and E- are the sums over `s_y (f - m_y)` where it is positive and, without its
    sign, where it is negative, over |f|_1; s `[C, D]` are the signs of the weights: E+
    is what raises the logit of the predicted class y. An energy below 1e-6, where
    nothing speaks for any class, counts as that.
    """
    f = at_least_float32(f)
    y = jnp.argmax(z, axis=1)
    aligned = signs[y] * (f - means[y])
    length = jnp.maximum(jnp.sum(jnp.abs(f), axis=1), TINY)
    raising = jnp.sum(jnp.maximum(aligned, 0), axis=1) / length
    lowering = jnp.sum(jnp.maximum(-aligned, 0), axis=1) / length
    return -(raising / jnp.maximum(energy(z), 1e-6) + lowering / average)


@dataclass(frozen=True)
class NCI(Detector):
    """Projection of f on the weights of its class, and its length; see `nci`.

    `alpha`: the weight of the length, not negative.
    """

    alpha: float = 0.0001
    name = "NCI"
    grid: ClassVar = {"alpha": (0.0001, 0.001, 0.01, 0.1)}
    requires = Requires(train_data=True, head=True)
    ranges = ranges_of(alpha=Within(0))

    def summaries(self, network):
        return (MEAN_FEATURE,)

    def prepared(self, network, given):
        mean = given.summary(MEAN_FEATURE)
        arrays = {"mean": mean, "w": network.head[0].T, "alpha": self.alpha}
        return score_of(nci, "logits", "features", **float32(arrays))


@dataclass(frozen=True)
class CARef(Detector):
    """Relative distance to the mean feature of the predicted class; see `caref`.

    Means are of training inputs predicted as a class, and of all for a class that none
    is predicted as.
    """

    name = "CARef"
    requires = Requires(train_data=True)

    def summaries(self, network):
        return (PredictedMeans(),)

    def prepared(self, network, given):
        means = given.summary(PredictedMeans())
        return score_of(caref, "logits", "features", **float32({"means": means}))


def _energies(outputs) -> np.ndarray:
    from scipy.special import logsumexp

    return logsumexp(np.asarray(outputs.logits, np.float64), axis=1)


@dataclass(frozen=True)
class CADRef(Detector):
    """CARef's distance, split by whether it raises the class's logit; see `cadref`.

    The paper's equations 7 and 8 split by the signs of f, its text and code by those of
    f - m_y, as here. Raises ValueError where the mean energy of training inputs, which
    it divides by, is not positive.
    """

    name = "CADRef"
    requires = Requires(train_data=True, head=True)

    def summaries(self, network):
        return PredictedMeans(), MeanOf(_energies)

    def prepared(self, network, given):
        means, average = (given.summary(s) for s in self.summaries(network))
        if not average > 0:
            raise ValueError(
                "CADRef divides by the mean energy of training inputs, which must be "
                f"positive, not {average:.3g}: use CARef"
            )
        arrays = {
            "means": means,
            "signs": jnp.sign(network.head[0].T),
            "average": average,
        }
        return score_of(cadref, "logits", "features", **float32(arrays))

"""Detectors that change the features f `[B, D]` and take the energy of new logits."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import TINY
from flowjax_ood.ood.detectors.logits import energy
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import SHARE, OneOf, Within, ranges_of
from flowjax_ood.ood.summaries import MEAN_FEATURE, Bank
from flowjax_ood.precision import at_least_float32

# exp(60) times an activation is a float32
LARGEST_EXPONENT = 60.0
# rows bisected together on CPU
TOGETHER = 32


def react(f, clip):
    """`min(f, clip)` (Sun et al. 2021)."""
    return jnp.minimum(f, clip)


def _kept(f, pruned):
    """Mask of the largest `D - round(pruned D)` entries of their row, one at least."""
    count, ordered = _left(f, pruned), _ordered(f)
    least = _largest(ordered, count)
    above, equal = ordered > least, ordered == least
    # the first of equals, as zeros are: a threshold would keep all of those
    left = count - jnp.sum(above, axis=1, keepdims=True)
    return above | (equal & (jnp.cumsum(equal, axis=1) <= left))


def _left(f, pruned) -> int:
    return max(1, f.shape[1] - int(np.round(pruned * f.shape[1])))


def sum_of_largest(f, count: int):
    """Sum the `count` largest entries of each row of f `[B, D]`: `[B, 1]`."""
    ordered = _ordered(f)
    above = ordered > _largest(ordered, count)
    # all others that count are as large as the largest of those left
    least = jnp.max(jnp.where(above, -jnp.inf, f), axis=1, keepdims=True)
    left = count - jnp.sum(above, axis=1, keepdims=True)
    return jnp.sum(jnp.where(above, f, 0), axis=1, keepdims=True) + left * least


def _ordered(f):
    """Integers in the order of floats f; zeros of both signs are one."""
    f = at_least_float32(f) + 0.0
    integer = jnp.int64 if f.dtype == jnp.float64 else jnp.int32
    bits = jax.lax.bitcast_convert_type(f, integer)
    return jnp.where(bits < 0, bits ^ jnp.iinfo(integer).max, bits)


def _largest(ordered, count):
    """The integer at place `count` of each row `[B, D]`, from the largest: `[B, 1]`.

    By bisection, a bit a pass: faster than sorting on CPU, and as exact.
    """
    info = jnp.iinfo(ordered.dtype)
    ends = tuple(jnp.array([info.min, info.max], ordered.dtype))

    def of(row):
        def halve(_, ends):
            low, high = ends
            # the mean, rounded up, without a sum that overflows
            middle = (low | high) - ((low ^ high) >> 1)
            enough = jnp.sum(row >= middle) >= count
            return jnp.where(enough, middle, low), jnp.where(enough, high, middle - 1)

        return jax.lax.fori_loop(0, info.bits, halve, ends)[0]

    # on CPU, all passes over a few rows while the cache holds them
    rows = TOGETHER if jax.default_backend() == "cpu" else len(ordered)
    return jax.lax.map(of, ordered, batch_size=rows)[:, None]


def ash(f, pruned=0.65, variant="b"):
    """Keep the largest `1 - pruned` of a row, shaped (Djurisic et al. 2023).

    `p` sets all else to zero; `b` also sets every entry kept to `sum(f) / count`; `s`
    multiplies those kept by `exp(s1 / s2)`, the sums before and after. f must not be
    negative; a row of zeros stays so.
    """
    keep = _kept(f, pruned)
    before = jnp.sum(f, axis=1, keepdims=True)
    kept = jnp.where(keep, f, 0)
    if variant == "p":
        return kept
    if variant == "b":
        count = jnp.sum(keep, axis=1, keepdims=True)
        return jnp.where(keep, before / count, 0)
    return kept * _scale(before, jnp.sum(kept, axis=1, keepdims=True))


def scale(f, pruned=0.85):
    """`f exp(s1 / s2)`, s1 the sum of a row, s2 that of its largest entries.

    Source: Xu et al. 2024.
    """
    before = jnp.sum(f, axis=1, keepdims=True)
    return f * _scale(before, sum_of_largest(f, _left(f, pruned)))


def _scale(before, after):
    # not "> TINY": NaN stays NaN
    ratio = jnp.where(after <= TINY, 0, before / jnp.maximum(after, TINY))
    return jnp.exp(jnp.minimum(ratio, LARGEST_EXPONENT))


def _energy(f, w, b, shape=None, **arguments):
    """Compute the energy of the logits of shaped features."""
    return energy((shape(f, **arguments) if shape else f) @ w + b)


def _score_of(head, shape=None, settings=(), **arrays):
    w, b = (jnp.asarray(a) for a in head)
    settings = {"shape": shape, **dict(settings)}
    return score_of(_energy, "features", settings=settings, w=w, b=b, **arrays)


@dataclass(frozen=True)
class ReAct(Detector):
    """Energy with features clipped at a percentile of all training activations."""

    percentile: float = 90.0
    name = "ReAct"
    grid: ClassVar = {"percentile": (70.0, 80.0, 85.0, 90.0, 95.0, 99.0)}
    ranges = ranges_of(percentile=Within(1, 100, "(", hint="in per cent, not a share"))
    requires = Requires(train_data=True, head=True)

    def summaries(self, network):
        return (Bank(),)

    def prepared(self, network, given):
        features = given.summary(Bank()).features
        clip = float(np.percentile(features, self.percentile))
        return _score_of(network.head, react, clip=clip)


@dataclass(frozen=True)
class ASH(Detector):
    """Energy of features pruned per input; `variant` p, b or s."""

    variant: str = "b"
    pruned: float = 0.65
    name = "ASH"
    grid: ClassVar = {"pruned": (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)}
    requires = Requires(head=True, not_negative=True)
    ranges = ranges_of(variant=OneOf(("p", "b", "s")), pruned=SHARE)

    def prepared(self, network, given):
        settings = {"pruned": self.pruned, "variant": self.variant}
        return _score_of(network.head, ash, settings)


@dataclass(frozen=True)
class SCALE(Detector):
    """Energy of features scaled by how much of them their largest entries hold."""

    pruned: float = 0.85
    name = "SCALE"
    grid: ClassVar = {"pruned": (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)}
    requires = Requires(head=True, not_negative=True)
    ranges = ranges_of(pruned=SHARE)

    def prepared(self, network, given):
        return _score_of(network.head, scale, {"pruned": self.pruned})


@dataclass(frozen=True)
class DICE(Detector):
    """Energy with the weights of small mean contribution `mean(f)_d W_dc` set to zero.

    `sparsity`: the share of them (Sun & Li 2022).
    """

    sparsity: float = 0.9
    name = "DICE"
    grid: ClassVar = {"sparsity": (0.1, 0.3, 0.5, 0.7, 0.9)}
    ranges = ranges_of(sparsity=SHARE)
    requires = Requires(train_data=True, head=True)

    def summaries(self, network):
        return (MEAN_FEATURE,)

    def prepared(self, network, given):
        w, b = (np.asarray(a) for a in network.head)
        contribution = given.summary(MEAN_FEATURE)[:, None] * w
        # of equal contributions (dead features) all or none go
        mask = contribution > np.quantile(contribution, self.sparsity)
        return _score_of((w * mask, b))

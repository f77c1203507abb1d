"""Detectors that look at the logits `z [B, C]` alone; p = softmax(z)."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import POSITIVE, ranges_of
from flowjax_ood.ood.summaries import Summary


def log_odds(z):
    """`log(p_c / (1 - p_c))` of the most probable class of logits `[..., C]`.

    It ranks as p does and never saturates, while in float32 p is 1 from 1 - 3e-8 on.
    Infinite for one class, or where all other logits are -inf.
    """
    top = jnp.max(z, axis=-1, keepdims=True)
    highest = z == top
    equals = jnp.sum(highest, axis=-1, keepdims=True, dtype=z.dtype)
    # the largest of all other classes, which may be as large
    below = jnp.max(jnp.where(highest, -jnp.inf, z), axis=-1, keepdims=True)
    second = jnp.where(equals > 1, top, below)
    # of n equal classes, all but one are others
    share = jnp.where(highest, (equals - 1) / equals, 1)
    gaps = jnp.where(highest & (equals == 1), -jnp.inf, z - _finite(second))
    others = jnp.log(jnp.sum(share * jnp.exp(gaps), axis=-1))
    odds = jnp.squeeze(top - _finite(second), -1) - others
    # an infinite logit has none
    return jnp.where(jnp.isinf(top[..., 0]), jnp.nan, odds)


def _finite(a):
    return jnp.where(jnp.isfinite(a), a, 0)


def log_probabilities(z):
    """`(log p, log(1 - p))` of logits `[..., C]`, also exact where p is next to 1."""
    top = jnp.max(z, axis=-1, keepdims=True)
    gaps, odds = z - top, log_odds(z)[..., None]
    # of the most probable class, log p = -log(1 + 1/odds)
    log_p = gaps - jax.nn.softplus(-odds)
    # p <= 1/2 of others; of equals as well, so either form holds
    highest = z == top
    rest = jnp.log1p(-jnp.exp(jnp.where(highest, -jnp.inf, log_p)))
    return log_p, jnp.where(highest, -jax.nn.softplus(odds), rest)


def msp(z, temperature=1.0):
    """`log(p / (1 - p))`, `p = max_c softmax(z / T)_c` (Hendrycks & Gimpel 2017).

    The maximum softmax probability as log-odds: `sigmoid(score)` is p.
    """
    return log_odds(z / temperature)


def max_logit(z):
    """`max_c z_c` (Hendrycks et al. 2022)."""
    return jnp.max(z, axis=1)


def energy(z, temperature=1.0):
    """`T logsumexp(z / T)`, the negative free energy (Liu et al. 2020)."""
    return temperature * jax.nn.logsumexp(z / temperature, axis=1)


def neg_entropy(z):
    """`sum_c p_c log p_c`, nats."""
    gaps = z - jnp.max(z, axis=-1, keepdims=True)
    e = jnp.exp(gaps)
    total = jnp.sum(e, axis=-1)
    # less the largest, also where all others are next to 0; 2 and more of equals
    below = jnp.sum(jnp.where(gaps == 0, 0, e), axis=-1)
    others = jnp.where(total < 2, below, total - 1)
    return jnp.sum(gaps * e, axis=-1) / total - jnp.log1p(others)


def gen(z, gamma=0.1, top=100):
    """`- sum over the M largest of p^gamma (1 - p)^gamma` (Liu et al. 2023).

    By logarithms: p that is rounded or clipped (at 1e-7, in published code) gives all
    confident predictions one score.
    """
    log_p, log_rest = log_probabilities(z)
    logs = log_p + log_rest
    if top < z.shape[1]:
        largest = jax.lax.top_k(log_p, top)[1]
        logs = jnp.take_along_axis(logs, largest, axis=1)
    return -jnp.sum(jnp.exp(gamma * logs), axis=1)


def kl_matching(z, log_templates):
    """`- min_k KL(p || d_k)`, `log_templates` log d `[K, C]`.

    Source: Hendrycks et al. 2022.
    """
    log_p, _ = log_probabilities(z)
    p = jnp.exp(log_p)
    own = jnp.sum(p * log_p, axis=1, keepdims=True)
    return -jnp.min(own - p @ log_templates.T, axis=1)


@dataclass(frozen=True)
class MSP(Detector):
    """Maximum softmax probability, the baseline of all."""

    name = "MSP"

    def prepared(self, network, given):
        return score_of(msp, "logits")


@dataclass(frozen=True)
class MaxLogit(Detector):
    """The largest logit."""

    name = "MaxLogit"

    def prepared(self, network, given):
        return score_of(max_logit, "logits")


@dataclass(frozen=True)
class Energy(Detector):
    """Negative free energy of the logits."""

    temperature: float = 1.0
    name = "Energy"
    grid: ClassVar = {"temperature": (0.1, 1.0, 10.0, 100.0, 1000.0)}
    ranges = ranges_of(temperature=POSITIVE)

    def prepared(self, network, given):
        return score_of(energy, "logits", temperature=float(self.temperature))


@dataclass(frozen=True)
class Entropy(Detector):
    """Negative entropy of the predicted distribution."""

    name = "Entropy"

    def prepared(self, network, given):
        return score_of(neg_entropy, "logits")


@dataclass(frozen=True)
class GEN(Detector):
    """Generalised entropy of the 100 most probable classes."""

    gamma: float = 0.1
    name = "GEN"
    grid: ClassVar = {"gamma": (0.01, 0.1, 0.5, 1.0, 2.0, 5.0)}
    ranges = ranges_of(gamma=POSITIVE)

    def prepared(self, network, given):
        return score_of(gen, "logits", gamma=float(self.gamma))


@dataclass(frozen=True)
class KLMatching(Detector):
    """KL divergence to the mean prediction of each class, of inputs predicted as it.

    Very confident predictions of one class differ by less than float32 tells.
    """

    name = "KLMatching"
    requires = Requires(train_data=True)

    def summaries(self, network):
        return (_Templates(),)

    def prepared(self, network, given):
        templates = jnp.asarray(given.summary(_Templates()), jnp.float32)
        return score_of(kl_matching, "logits", log_templates=templates)


@dataclass(frozen=True)
class _Templates(Summary):
    """The logarithm of the mean prediction of each class, of inputs predicted as it."""

    def start(self, seed, bank):
        return 0, -np.inf

    def add(self, state, outputs, labels):
        from scipy.special import logsumexp

        z = np.asarray(outputs.logits, np.float64)
        gaps, predicted = z - z.max(1, keepdims=True), z.argmax(1)
        p = np.exp(gaps)
        totals = p.sum(1, keepdims=True)
        p /= totals
        logs = np.full((z.shape[1], z.shape[1]), -np.inf)
        for c in np.unique(predicted):
            rows = predicted == c
            sums = p[rows].sum(0)
            if sums.all():
                logs[c] = np.log(sums)
            else:  # some are below what float64 holds
                logs[c] = logsumexp(gaps[rows] - np.log(totals[rows]), axis=0)
        counts = np.bincount(predicted, minlength=z.shape[1])
        return state[0] + counts, np.logaddexp(state[1], logs)

    def finish(self, state):
        counts, logs = state
        # a class that is never predicted has no template: another's is there twice, so
        # that shapes do not depend on it
        present = np.resize(np.flatnonzero(counts), len(counts))
        return logs[present] - np.log(counts[present])[:, None]

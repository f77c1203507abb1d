"""Detectors that look at the logits `z [B, C]` alone; p = softmax(z)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from flowjax_ood.ood.detector import Detector, Requires

# smallest probability whose logarithm is taken
LEAST = 1e-7


def msp(z, temperature=1.0):
    """Maximum softmax probability `max_c p_c` (Hendrycks & Gimpel 2017), as `log p`.

    The logarithm ranks alike and does not saturate: in float32, p = 1 - 1e-9 is 1.
    """
    z = z / temperature
    top = jnp.argmax(z, axis=1, keepdims=True)
    gaps = z - jnp.take_along_axis(z, top, axis=1)
    # -log1p of all others: log_softmax adds the 1 first, and saturates as p does. The
    # class's own gap is 0, or NaN where its logit is infinite
    own = jnp.arange(z.shape[1]) == top
    return -jnp.log1p(jnp.sum(jnp.where(own, gaps, jnp.exp(gaps)), axis=1))


def max_logit(z):
    """`max_c z_c` (Hendrycks et al. 2022)."""
    return jnp.max(z, axis=1)


def energy(z, temperature=1.0):
    """`T logsumexp(z / T)`, the negative free energy (Liu et al. 2020)."""
    return temperature * jax.nn.logsumexp(z / temperature, axis=1)


def neg_entropy(z):
    """`sum_c p_c log p_c`, nats."""
    log_p = jax.nn.log_softmax(z, axis=1)
    return jnp.sum(jnp.exp(log_p) * log_p, axis=1)


def gen(z, gamma=0.1, top=100):
    """`- sum over the M largest of p^gamma (1 - p)^gamma` (Liu et al. 2023)."""
    p = jax.lax.top_k(jax.nn.softmax(z, axis=1), min(top, z.shape[1]))[0]
    p = jnp.clip(p, LEAST, 1 - LEAST)
    return -jnp.sum((p * (1 - p)) ** gamma, axis=1)


def kl_matching(z, log_templates):
    """`- min_k KL(p || d_k)`, `log_templates` log d `[K, C]`.

    Source: Hendrycks et al. 2022.
    """
    log_p = jax.nn.log_softmax(z, axis=1)
    p = jnp.exp(log_p)
    own = jnp.sum(p * log_p, axis=1, keepdims=True)
    return -jnp.min(own - p @ log_templates.T, axis=1)


# Partial compares functions: the same object serves every fit, and compiles once
def _msp(t, o):
    return msp(o.logits, t)


def _max_logit(o):
    return max_logit(o.logits)


def _energy(t, o):
    return energy(o.logits, t)


def _neg_entropy(o):
    return neg_entropy(o.logits)


def _gen(gamma, o):
    return gen(o.logits, gamma)


def _kl_matching(log_templates, o):
    return kl_matching(o.logits, log_templates)


@dataclass(frozen=True)
class MSP(Detector):
    """Maximum softmax probability, the baseline of all."""

    name = "MSP"

    def prepared(self, network, given):
        return Partial(_msp, 1.0)


@dataclass(frozen=True)
class MaxLogit(Detector):
    """The largest logit."""

    name = "MaxLogit"

    def prepared(self, network, given):
        return Partial(_max_logit)


@dataclass(frozen=True)
class Energy(Detector):
    """Negative free energy of the logits."""

    temperature: float = 1.0
    name = "Energy"

    def prepared(self, network, given):
        return Partial(_energy, float(self.temperature))


@dataclass(frozen=True)
class Entropy(Detector):
    """Negative entropy of the predicted distribution."""

    name = "Entropy"

    def prepared(self, network, given):
        return Partial(_neg_entropy)


@dataclass(frozen=True)
class GEN(Detector):
    """Generalised entropy of the 100 most probable classes."""

    gamma: float = 0.1
    name = "GEN"

    def prepared(self, network, given):
        return Partial(_gen, float(self.gamma))


@dataclass(frozen=True)
class KLMatching(Detector):
    """KL divergence to the mean prediction of each class, of inputs predicted as it."""

    name = "KLMatching"
    requires = Requires(train_data=True)

    def prepared(self, network, given):
        z = np.asarray(given.train.logits, np.float64)
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        predicted = z.argmax(1)
        # a class that is never predicted has no template
        templates = [p[predicted == c].mean(0) for c in np.unique(predicted)]
        return Partial(
            _kl_matching, jnp.asarray(np.log(np.clip(templates, LEAST, 1)), jnp.float32)
        )

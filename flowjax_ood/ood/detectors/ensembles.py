"""Detectors of several predictions of one input: ensembles and MC dropout."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.detectors.logits import (
    energy,
    log_probabilities,
    max_logit,
    msp,
)
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, as_input, logits_of
from flowjax_ood.ood.settings import SEED, OneOf, Within, ranges_of

OF_MEAN_LOGITS = {
    "msp_of_mean_logits": msp,
    "max_mean_logit": max_logit,
    "energy_of_mean_logits": energy,
}
Score = Literal[
    "mean_max",
    "max_mean",
    "neg_entropy",
    "neg_mutual_information",
    "msp_of_mean_logits",
    "max_mean_logit",
    "energy_of_mean_logits",
]
# passes of dropout side by side: more take memory, and time to compile
SIDE_BY_SIDE = 8


def ensemble_score(logits: jax.Array, score: Score) -> jax.Array:
    """Score the logits of M members `[M, B, C]`: `[B]`; p_m their probabilities.

    "mean_max": the mean of `max_c p_m` (FSSD's code); "max_mean": `max_c` of their mean
    (Lakshminarayanan et al. 2017), both as log-odds, `log(p / (1 - p))`, which rank
    alike and do not saturate; "neg_entropy": of the mean; and "neg_mutual_information":
    that plus the mean of the members' entropies. Of logits averaged over members, MSP
    as log-odds ("msp_of_mean_logits", as OpenOOD has it), the largest
    ("max_mean_logit") and "energy_of_mean_logits". ValueError for others.
    """
    check_score(score)
    if score in OF_MEAN_LOGITS:
        return OF_MEAN_LOGITS[score](jnp.mean(logits, axis=0))
    log_p, log_rest = log_probabilities(logits)

    def log_mean(a):
        return jax.nn.logsumexp(a, axis=0) - jnp.log(len(a))

    if score == "mean_max":
        return _log_odds(log_mean(jnp.min(log_rest, axis=-1)))
    # where p is next to 1, what is left of it is exact, and p is not
    mean_rest = log_mean(log_rest)
    if score == "max_mean":
        return _log_odds(jnp.min(mean_rest, axis=-1))

    def negative_entropy(log_p):
        return jnp.sum(jnp.exp(log_p) * log_p, axis=-1)

    least = jnp.log(0.5)
    mean = jnp.where(
        mean_rest < least, _log_rest(jnp.minimum(mean_rest, least)), log_mean(log_p)
    )
    if score == "neg_entropy":
        return negative_entropy(mean)
    return negative_entropy(mean) - jnp.mean(negative_entropy(log_p), axis=0)


def check_score(score: str) -> None:
    """Raise ValueError for a score that `ensemble_score` does not know."""
    if score not in get_args(Score):
        raise ValueError(
            f"unknown score {score!r}; known: {', '.join(get_args(Score))}"
        )


def _log_rest(log_p):
    return jnp.log1p(-jnp.exp(log_p))


def _log_odds(log_rest):
    return _log_rest(log_rest) - log_rest


@partial(compiled, static_argnames="score")
def _ensemble_score(logits, score):
    return ensemble_score(jnp.stack(logits), score)


@dataclass(frozen=True)
class DeepEnsemble(Detector):
    """Networks that differ in their seed (Lakshminarayanan et al. 2017).

    `fit` takes the networks, at least two, of one architecture or several. `scoring` as
    in `ensemble_score`; ValueError for others.
    """

    scoring: Score = "mean_max"
    label: str = "Deep Ensembles"
    requires = Requires(retraining=True)

    def __post_init__(self):
        check_score(self.scoring)

    def fit(self, network: Sequence[Network], given: Given | None = None) -> Fitted:
        del given
        chosen = {"scoring": self.scoring}
        return _fitted(
            self, network, lambda z: _ensemble_score(z, self.scoring), chosen
        )


def cosines(logits: jax.Array) -> jax.Array:
    """Cosine of the probabilities of every two members: `[M (M - 1) / 2, B]`.

    `logits` `[M, B, C]`. Probabilities are not negative, so it lies in [0, 1]: 1 where
    two members agree in all classes, 0 where they share none.
    """
    p = jax.nn.softmax(logits, axis=-1)
    p = p * jax.lax.rsqrt(jnp.sum(p * p, axis=-1, keepdims=True))
    first, second = np.triu_indices(len(logits), 1)
    return jnp.sum(p[first] * p[second], axis=-1)


@dataclass(frozen=True)
class Coherence(Detector):
    """`max_{i<j} cos(p_i, p_j) - 1`, cosines of two members' probabilities: [-1, 0].

    Members of an ensemble agree on what they were trained on; those that were trained
    to differ elsewhere (the objective `Diverse`) do so less on outliers. It is 0 where
    two members agree in all classes, -1 where no two share one, and ranks as the
    largest cosine does.

    Of confident members, cosines are 1 in float32. So the score is computed as `-min
    |u_i - u_j|^2 / 2` of the unit vectors `u = p / |p|`, which differ exactly: members
    that differ in probabilities of 1e-10 are told apart. `fit` takes the networks, as
    `DeepEnsemble` does. Source: the coherence of Kariyappa et al. (2021), "Protecting
    DNNs from theft using an ensemble of diverse models", as a score.
    """

    label: str = "Coherence"
    requires = Requires(retraining=True)

    def fit(self, network: Sequence[Network], given: Given | None = None) -> Fitted:
        del given
        return _fitted(self, network, _coherence)


@compiled
def _coherence(logits):
    z = jnp.stack(logits)
    top = jax.nn.one_hot(jnp.argmax(z, axis=-1), z.shape[-1], dtype=z.dtype)
    # p over its largest entry, without it
    rest = jnp.where(top > 0, 0.0, jnp.exp(z - jnp.max(z, axis=-1, keepdims=True)))
    square = jnp.sum(rest * rest, axis=-1, keepdims=True)
    length = jnp.sqrt(1 + square)
    # u less the top class: next to 1, u is rounded, and what it lacks of 1 is not
    away = jnp.where(top > 0, -square / (length * (1 + length)), rest / length)
    first, second = np.triu_indices(len(z), 1)
    apart = (away[first] - away[second]) + (top[first] - top[second])
    score = jnp.max(-jnp.sum(apart * apart, axis=-1) / 2, axis=0)
    # rounding may pass -1, and of NaN this is NaN
    return jnp.maximum(score, -1.0)


def _fitted(detector, network, program, chosen=()) -> Fitted:
    """Fit a detector of several networks; `program` takes the logits of all of them."""
    if isinstance(network, Network):
        raise TypeError(
            "an ensemble is fitted to several networks, got one: fit([first, ...])"
        )
    networks = tuple(network)
    for member in networks:
        detector.check(member, Given())
    if len(networks) < 2:
        raise ValueError(f"an ensemble has two members or more, got {len(networks)}")

    def score(x, batch_size):
        return in_batches(of, x, at_once(x, batch_size))

    def of(rows):
        # one after the other: members of one architecture share a program
        logits = [logits_of(n, rows) for n in networks]
        classes = sorted({z.shape[-1] for z in logits})
        if len(classes) > 1:
            raise ValueError(
                f"members of an ensemble have the same classes, these have {classes}"
            )
        return program(logits)

    chosen = {"members": len(networks), **dict(chosen)}
    return Fitted(detector.name, detector.requires, networks, score, False, chosen)


@dataclass(frozen=True)
class MCDropout(Detector):
    """Predictions with dropout drawn anew `passes` times (Gal & Ghahramani 2016).

    `scoring` "mu": the largest mean probability, as log-odds; "logits": that of mean
    logits, as OpenOOD has it. "var": minus the variance of the logit of the class of
    "mu", since predictions that vary are taken for less in-distribution; "softmax_var":
    minus the variance of probabilities, mean of all classes (Kendall et al. 2015). What
    is dropped is drawn by the seed, the same for all inputs: a score depends on its
    input alone, not on its batch, its order or the device.
    """

    passes: int = 32
    scoring: Literal["mu", "logits", "var", "softmax_var"] = "mu"
    seed: int = 0
    label: str = "MC Dropout"

    ranges = ranges_of(
        passes=Within(2, integer=True),
        scoring=OneOf(("mu", "logits", "var", "softmax_var")),
        seed=SEED,
    )

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        self.check(network, Given() if given is None else given)
        if network.sample is None:
            raise ValueError("MCDropout needs network.sample, the logits with dropout")
        key = jax.random.key(self.seed)

        def score(x, batch_size):
            return in_batches(of, x, at_once(x, batch_size))

        def of(rows):
            logits = _dropped(network, key, rows, self.passes)
            return _dropout_score(logits, self.scoring)

        chosen = {"passes": self.passes, "scoring": self.scoring}
        return Fitted(self.name, self.requires, network, score, False, chosen)


@partial(compiled, static_argnums=3)
def _dropped(network, key, x, passes):
    """Logits of every pass, `[passes, B, C]`."""
    x = as_input(x)

    def one(t):
        own = jax.random.fold_in(key, t)

        # as a batch by itself; what is drawn does not depend on the input
        def alone(row):
            return network.sample(network.variables, row[None], own)[0]

        return jax.vmap(alone)(x)

    # what comes before dropout is computed once for those side by side, at most
    return jax.lax.map(one, jnp.arange(passes), batch_size=SIDE_BY_SIDE)


@partial(compiled, static_argnums=1)
def _dropout_score(logits, scoring):
    if scoring == "mu":
        return ensemble_score(logits, "max_mean")
    if scoring == "logits":
        return ensemble_score(logits, "msp_of_mean_logits")
    if scoring == "softmax_var":
        p, rest = map(jnp.exp, log_probabilities(logits))
        # what is left to 1 varies alike, and is not rounded to it
        small = jnp.where(jnp.mean(p, axis=0) > 0.5, rest, p)
        return -jnp.mean(jnp.var(small, axis=0), axis=-1)
    mean = jnp.mean(jax.nn.softmax(logits, axis=-1), axis=0)
    top = jnp.argmax(mean, axis=-1)[None, :, None]
    return -jnp.var(jnp.take_along_axis(logits, top, axis=2)[..., 0], axis=0)

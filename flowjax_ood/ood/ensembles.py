"""Detectors of several predictions of one input: deep ensembles and MC dropout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from flowjax_ood.ood.detector import Detector, Fitted, Given, Requires
from flowjax_ood.ood.logit_detectors import LEAST
from flowjax_ood.ood.network import Network, as_input

Score = Literal["mean_max", "max_mean", "neg_entropy", "neg_mutual_information"]


def ensemble_score(logits: jax.Array, score: Score) -> jax.Array:
    """Of the logits of M members `[M, B, C]`, `[B]`; p_m their probabilities.

    "mean_max": the mean of `max_c p_m` (FSSD's code); "max_mean": `max_c` of their mean
    (Lakshminarayanan et al. 2017); "neg_entropy": of the mean; and
    "neg_mutual_information": that plus the mean of the members' entropies.
    """
    p = jax.nn.softmax(logits, axis=-1)
    mean = jnp.mean(p, axis=0)
    if score == "mean_max":
        return jnp.mean(jnp.max(p, axis=-1), axis=0)
    if score == "max_mean":
        return jnp.max(mean, axis=-1)

    def negative_entropy(p):
        return jnp.sum(p * jnp.log(jnp.maximum(p, LEAST**4)), axis=-1)

    if score == "neg_entropy":
        return negative_entropy(mean)
    if score == "neg_mutual_information":
        return negative_entropy(mean) - jnp.mean(negative_entropy(p), axis=0)
    raise ValueError(
        f"unknown score {score!r}; known: mean_max, max_mean, neg_entropy, "
        "neg_mutual_information"
    )


@dataclass(frozen=True)
class DeepEnsemble(Detector):
    """Networks that differ in their seed (Lakshminarayanan et al. 2017).

    `fit` takes the networks, at least two, of one architecture or several.
    """

    scoring: Score = "mean_max"
    label: str = "Deep Ensembles"
    requires = Requires(retraining=True)

    @property
    def name(self) -> str:
        return self.label

    def fit(self, network: Sequence[Network], given: Given | None = None) -> Fitted:
        networks = tuple(network)
        if len(networks) < 2:
            raise ValueError(
                f"an ensemble has two members or more, got {len(networks)}"
            )

        def score(variables, x):
            x = as_input(x)
            pairs = zip(networks, variables)
            logits = jnp.stack([n.apply(v, x)[1] for n, v in pairs])
            return ensemble_score(logits, self.scoring)

        variables = tuple(n.variables for n in networks)
        together = replace(networks[0], variables=variables)
        chosen = {"members": len(networks), "scoring": self.scoring}
        return Fitted(self.name, self.requires, together, Partial(score), False, chosen)


@dataclass(frozen=True)
class MCDropout(Detector):
    """Predictions with dropout drawn anew `passes` times (Gal & Ghahramani 2016).

    `scoring` "mu": the largest mean probability. "var": minus the variance of the logit
    of that class, since predictions that vary are taken for less in-distribution.
    """

    passes: int = 32
    scoring: Literal["mu", "var"] = "mu"
    seed: int = 0
    label: str = "MC Dropout"

    def __post_init__(self):
        if self.passes < 2 or self.scoring not in ("mu", "var"):
            raise ValueError(
                "MCDropout needs two passes or more and scoring mu or var, got "
                f"{self.passes} and {self.scoring!r}"
            )

    @property
    def name(self) -> str:
        return self.label

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        if network.sample is None:
            raise ValueError("MCDropout needs network.sample, the logits with dropout")

        def score(key, variables, x):
            x = as_input(x)
            # side by side, not in a loop: what comes before dropout is computed once
            keys = [jax.random.fold_in(key, t) for t in range(self.passes)]
            logits = jnp.stack([network.sample(variables, x, k) for k in keys])
            mean = jnp.mean(jax.nn.softmax(logits, axis=-1), axis=0)
            if self.scoring == "mu":
                return jnp.max(mean, axis=-1)
            top = jnp.argmax(mean, axis=-1)[None, :, None]
            return -jnp.var(jnp.take_along_axis(logits, top, axis=2)[..., 0], axis=0)

        function = Partial(score, jax.random.key(self.seed))
        chosen = {"passes": self.passes, "scoring": self.scoring}
        return Fitted(self.name, self.requires, network, function, False, chosen)

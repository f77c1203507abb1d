"""pNML: the regret of the best last layer that a single input could have had."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import float32, unit, unit_rows
from flowjax_ood.ood.detectors.logits import log_probabilities
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.summaries import MomentsOf

# of the largest: no direction counts as spanned by less. More than rounding leaves
LEAST_EIGENVALUE = 1e-10


def pnml(f, root, w, b):
    """`- log sum_c p_c / (p_c + (1 - p_c) p_c^k) / log C` (Bibas et al. 2021).

    `k = q / (1 + q)`, `q = u' (X' X)^-1 u` for u = f / |f| and X the training features
    of length 1; `root` `[D, D]` is of that inverse, `q = |u' root|^2`. p are the
    probabilities of u itself, `softmax(u W + b)`. 0 where u lies where many training
    inputs do, -1 at least.
    """
    u = unit(f)
    q = jnp.sum((u @ root) ** 2, axis=1, keepdims=True)
    log_p, log_rest = log_probabilities(u @ w + b)
    # by logarithms: log of p + (1 - p) p^k
    log_all = jnp.logaddexp(log_p, log_rest + log_p * q / (1 + q))
    terms = jnp.exp(log_p - log_all)
    # the sum is 1 and more
    regret = jnp.log(jnp.maximum(jnp.sum(terms, axis=1), 1))
    return -regret / np.log(max(w.shape[1], 2))


@dataclass(frozen=True)
class PNML(Detector):
    """Regret of the last layer, see `pnml`: small where training inputs say how.

    As in the authors' code, probabilities are those of features of length 1. A
    direction that no training input has gives k next to 1, the paper's value for it,
    where a pseudo-inverse (pytorch-ood) would give 0, as if it were well known.
    """

    name = "pNML"
    requires = Requires(train_data=True, head=True)

    def summaries(self, network):
        return (MomentsOf(by_class=False, of_rows=unit_rows),)

    def prepared(self, network, given):
        (of_units,) = (given.summary(s) for s in self.summaries(network))
        products = of_units.count * of_units.second_moment(0)
        values, vectors = np.linalg.eigh(products)
        root = vectors / np.sqrt(np.maximum(values, LEAST_EIGENVALUE * values[-1]))
        w, b = network.head
        return score_of(pnml, "features", **float32({"root": root, "w": w, "b": b}))

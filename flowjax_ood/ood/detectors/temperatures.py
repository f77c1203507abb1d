"""Detectors that scale the logits z `[B, C]`: by one temperature, or one per input."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.checks import check_labels
from flowjax_ood.ood.detector import Detector, Fitted, score_of
from flowjax_ood.ood.detectors.fitting import TINY
from flowjax_ood.ood.detectors.logits import energy, msp
from flowjax_ood.ood.detectors.shaping import sum_of_largest
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.network import Network, Outputs
from flowjax_ood.ood.settings import OneOf, Within, ranges_of
from flowjax_ood.precision import at_least_float32

# temperatures looked at: of logits that are all right, ever lower ones are likelier
COLDEST, HOTTEST = 0.01, 100.0


def likeliest_temperature(z, labels) -> float:
    """Find `argmin_T - sum log softmax(z / T)_label`, T in 0.01 ... 100.

    Args:
        z: logits `[N, C]`.
        labels: numbers of their classes `[N]`.

    As a function of 1/T it is convex: the root of its slope. Source: Guo et al. 2017.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    z = np.asarray(z, np.float64)
    own = np.take_along_axis(z, np.asarray(labels)[:, None], axis=1)[:, 0]

    def slope(inverse):
        return np.mean(np.sum(softmax(inverse * z, axis=1) * z, axis=1) - own)

    if slope(1 / COLDEST) <= 0:
        return COLDEST
    if slope(1 / HOTTEST) >= 0:
        return HOTTEST
    return 1 / brentq(slope, 1 / HOTTEST, 1 / COLDEST, xtol=1e-9)


def lts(z, f, kept):
    """`logsumexp(S z)`, `S = (sum f / sum of its largest)^2` (Djurisic et al. 2024).

    `kept`: the share of f's entries that the second sum is of. f must not be negative;
    S of a row of zeros is 1.
    """
    f = at_least_float32(f)
    count = max(1, round(kept * f.shape[1]))
    largest = sum_of_largest(f, count)[:, 0]
    total = jnp.sum(f, axis=1)
    # not "> TINY": NaN stays NaN
    ratio = jnp.where(largest <= TINY, 1, total / jnp.maximum(largest, TINY))
    return energy(ratio[:, None] ** 2 * z)


@dataclass(frozen=True)
class TempScale(Detector):
    """MSP at the temperature of the highest likelihood of labels (Guo et al. 2017).

    * `fitted_on`: "validation", `given.id_validation` and `given.id_labels`, as
      published; or "train", the outputs and labels of `given`: those should be of
      images that the network was not trained on, or T comes out too small.

    T is in 0.01 ... 100 and `chosen` records it.
    """

    fitted_on: Literal["validation", "train"] = "validation"
    name = "TempScale"
    validated_by_outputs = True
    ranges = ranges_of(fitted_on=OneOf(("validation", "train")))

    @property
    def requires(self) -> Requires:
        train = self.fitted_on == "train"
        return Requires(
            train_data=train, labels=train, class_numbers=train, id_labels=not train
        )

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        given = given or Given()
        self.check(network, given)
        if self.fitted_on == "train":
            train: Any = given.train
            z, labels = train.logits, given.labels
        else:
            x, labels = given.id_validation, given.id_labels
            z = (x if isinstance(x, Outputs) else network.collect(x)).logits
        labels = check_labels(labels, *z.shape)
        temperature = likeliest_temperature(z, labels)
        function = score_of(msp, "logits", temperature=temperature)
        chosen = {"temperature": temperature}
        return Fitted(self.name, self.requires, network, function, True, chosen)


@dataclass(frozen=True)
class LTS(Detector):
    """Energy of logits scaled by how little of f its largest entries hold; see `lts`.

    `kept`: their share, 5 % as published.
    """

    kept: float = 0.05
    name = "LTS"
    grid: ClassVar = {"kept": (0.01, 0.05, 0.1, 0.15, 0.2, 0.3)}
    requires = Requires(not_negative=True)
    ranges = ranges_of(kept=Within(0, 1, "(", hint="a share, not per cent"))

    def prepared(self, network, given):
        return score_of(lts, "logits", "features", settings={"kept": self.kept})

"""VRA: energy of features with low ones set to zero and high ones clipped."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.detector import Detector, score_of
from flowjax_ood.ood.detectors.fitting import float32
from flowjax_ood.ood.detectors.logits import energy
from flowjax_ood.ood.given import Requires
from flowjax_ood.ood.settings import Within, ranges_of
from flowjax_ood.ood.summaries import Bank

PERCENTILE = Within(0, 100, hint="a percentile")


def vra(f, low, high):
    """`0` where `f < low`, `high` where `f > high`, else f; `low`, `high` are `[D]`.

    Source: Xu et al. 2023.
    """
    return jnp.where(f < low, 0, jnp.minimum(f, high))


def vra_energy(f, low, high, w, b):
    """Compute the energy of the logits `f W + b` of features that `vra` shaped."""
    return energy(vra(f, low, high) @ w + b)


@dataclass(frozen=True)
class VRA(Detector):
    """Energy of features rectified from below and from above; see `vra`.

    `low`, `high`: percentiles of each feature over training inputs, in 0 ... 100; 60
    and 90 are the authors' for CIFAR-10. As in the paper and its authors' code, what
    is too low becomes 0; OpenOOD and pytorch-ood raise it to the bound.
    """

    low: float = 60.0
    high: float = 90.0
    name = "VRA"
    grid: ClassVar = {
        "low": (1.0, 10.0, 60.0),
        "high": (85.0, 90.0, 95.0),
    }
    requires = Requires(train_data=True, head=True)
    ranges = ranges_of(low=PERCENTILE, high=PERCENTILE)

    def __post_init__(self):
        super().__post_init__()
        if self.low >= self.high:
            raise ValueError(
                f"VRA: low must be below high; got {self.low} and {self.high}"
            )

    def summaries(self, network):
        return (Bank(),)

    def prepared(self, network, given):
        f = np.asarray(given.summary(Bank()).features, np.float32)
        low, high = np.percentile(f, [self.low, self.high], axis=0)
        w, b = network.head
        arrays = {"low": low, "high": high, "w": w, "b": b}
        return score_of(vra_energy, "features", **float32(arrays))

"""A client's loss: its own classes apart, and unsure of virtual outliers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from flowjax_ood.training.classifier_objectives import (
    CrossEntropy,
    cross_entropy,
    outlier_loss,
)
from flowjax_ood.training.objectives import Batch
from flowjax_ood.training.state import TrainState
from flowjax_ood.training.step import make_train_step

Unsure = Literal["uniform", "energy"]


@dataclass(frozen=True)
class VirtualOutliers:
    """`weight * mean R`: what a client's head should say of outliers by design.

    With z the logits of a virtual outlier, and `E = -logsumexp z`, nats:

    * "uniform": `R = logsumexp z - mean z`, least, log C, where all logits are equal;
    * "energy": `R = relu(E_in - m_in)^2 + relu(m_out - E_out)^2` with `margins` `(m_in,
      m_out)`: energies of examples below the one, those of outliers above the other.

    Raises ValueError for a negative or infinite weight, an unknown kind, and margins
    with `m_in >= m_out`. Source: Yu et al. 2023, section 4.2; Hendrycks et al. 2019 and
    Liu et al. 2020 for the two kinds.
    """

    weight: float = 0.1
    kind: Unsure = "uniform"
    margins: tuple[float, float] = (-25.0, -7.0)

    def __post_init__(self):
        if not 0 <= self.weight < math.inf:
            raise ValueError(
                f"weight must not be negative or infinite, got {self.weight}"
            )
        if self.kind not in get_args(Unsure):
            raise ValueError(
                f"unknown kind {self.kind!r}; known: {', '.join(get_args(Unsure))}"
            )
        inside, outside = self.margins
        # of a config, a list: what is compiled is known again by its hash
        object.__setattr__(self, "margins", (inside, outside))
        if not inside < outside:
            raise ValueError(
                "margins are energies (inside, outside), the first the lower one, got "
                f"{self.margins}"
            )

    def __call__(self, inside: jax.Array, outside: jax.Array) -> jax.Array:
        """Mean R, a scalar, of logits `[B, C]` of examples and `[M, C]` of outliers."""
        if self.kind == "uniform":
            return jnp.mean(outlier_loss(outside))
        low, high = self.margins
        above = nn.relu(-jax.nn.logsumexp(inside, -1) - low) ** 2
        below = nn.relu(high + jax.nn.logsumexp(outside, -1)) ** 2
        return jnp.mean(above) + jnp.mean(below)


@dataclass(frozen=True)
class OwnClasses(CrossEntropy):
    """`cross-entropy + weight * mean R`, over the classes in `own` alone.

    `own` int `[C]` are columns of the logits, and `label` int `[B]` positions in `own`.
    A batch may hold `feature`, float `[M, D]`: virtual outliers, which go through the
    module's head alone. So they move the head and nothing below it.

    Metrics: `accuracy` and `cross_entropy` of the examples, and `outlier_loss`.
    """

    outliers: VirtualOutliers | None = None
    needs: ClassVar = ("image or x", "index", "label", "own")
    made_by: ClassVar = "federated.rounds"

    @staticmethod
    def method(module: nn.Module, x: jax.Array, features: jax.Array | None) -> tuple:
        """Logits of x, and of features `[M, D]` where there are any."""
        _, logits = module.taps(x)
        if features is None:
            return logits, None
        # of the parameters at hand, so that gradients reach them
        w, b = module.head(module.variables)
        return logits, features @ w + b

    def inputs(self, batch: Batch, step_key: jax.Array) -> tuple:
        features = None if self.outliers is None else batch.get("feature")
        return *super().inputs(batch, step_key), features

    def loss(self, outputs: Any, batch: Batch) -> tuple[jax.Array, dict]:
        inside, outside = outputs
        inside = inside[:, batch["own"]]
        fit, metrics = cross_entropy(inside, batch["label"])
        metrics |= {"cross_entropy": fit}
        if outside is None or self.outliers is None:
            return fit, metrics
        unsure = self.outliers(inside, outside[:, batch["own"]])
        metrics |= {"outlier_loss": unsure}
        return fit + self.outliers.weight * unsure, metrics


def make_client_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    objective: VirtualOutliers | None = None,
) -> Callable[..., tuple[TrainState, dict]]:
    """`make_train_step` of `OwnClasses`: a step of a client, pure, for `jax.jit`.

    `module`: a classifier with `taps(x)` and `head(variables)`, as those of `models`
    have. Batches hold `image` or `x`, `label`, `index`, `own` and, with an `objective`,
    `feature`; without the latter a step is plain training on the client's classes.
    """
    return make_train_step(OwnClasses(module, outliers=objective), optimizer)

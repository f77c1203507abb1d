"""Feature-space singularity distance (Huang et al. 2021).

Features of outliers stay near a point, the singularity, that features of noise mark;
those of in-distribution inputs move away from it in training.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from flowjax_ood.ood import protocols
from flowjax_ood.ood.batched import at_once, batches, compiled
from flowjax_ood.ood.detectors.layer_scores import FORMS, MAGNITUDES, Form, LayerScores
from flowjax_ood.ood.detectors.layer_weights import LayerDetector
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.network import Network, flat
from flowjax_ood.ood.settings import COUNT, SEED, OneOf, ranges_of

NOISE = ("uniform", "repository", "validation")


def distance(activations: jax.Array, singularity: jax.Array) -> jax.Array:
    """`|F(x) - F*|_2` of flattened activations `[B, ...]`, `[B]`.

    Its gradient at the singularity itself is 0.
    """
    squared = jnp.sum((flat(activations) - singularity) ** 2, axis=1)
    # not "> 0": NaN stays NaN
    zero = squared == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squared)))


def _to_singularity(points, layer, activations):
    return distance(activations, points[layer])


@compiled
def _activations(network: Network, x):
    taps, _ = network.taps(x)
    return {k: flat(taps[k]) for k in network.layers}


@dataclass(frozen=True)
class FSSD(LayerDetector):
    """`sum_k a_k |F_k(x + m d_k) - F*_k|`, F*_k the mean of layer k over noise.

    * `noise`: "uniform" in [0, 1], as the slides; "repository", grey noise of low
      contrast, as the code; "validation", the first half of the in-distribution
      validation inputs (for tokens, where noise has no meaning);
    * `weights`: "uniform" standardises the distances on in-distribution validation
      inputs and averages them; a layer's name takes it alone; "logistic" is fitted on
      validation inputs and outliers;
    * `magnitudes`: m, chosen among several with "logistic", else the first; 0 is
      without a step;
    * `form` and `sign` of the step (see `layer_scores.direction`): the slides' is the
      sign of the gradient, uphill (+1); the code's "zscore_batch", downhill (-1), of
      `batch_size` inputs together, in their order.

    Neither training data nor labels are needed. `FSSD.repository()` is what the public
    code does. Raises ValueError for unknown options.
    """

    noise: Literal["uniform", "repository", "validation"] = "uniform"
    weights: str = "uniform"
    magnitudes: tuple[float, ...] = (0.0,)
    form: Form = "sign"
    sign: int = 1
    images: int = 100
    seed: int = 0
    # outliers of the test set, whose shuffling comes before the code's noise
    ood_count: int = 10_000
    batch_size: int = 250
    label: str = "FSSD"

    ranges = ranges_of(
        **LayerDetector.ranges,
        noise=OneOf(NOISE),
        form=OneOf(FORMS),
        sign=OneOf((1, -1)),
        images=COUNT,
        ood_count=COUNT,
        seed=SEED,
    )

    @classmethod
    def repository(cls, **changes) -> "FSSD":
        """Configure FSSD as the public code does, with its batches of 512."""
        options: dict[str, Any] = {"noise": "repository", "weights": "logistic"}
        options |= {"magnitudes": MAGNITUDES, "form": "zscore_batch", "sign": -1}
        return cls(**(options | {"batch_size": 512} | changes))

    def singularity(self, network: Network, given: Given) -> dict[str, np.ndarray]:
        """Compute `{layer: F* [D]}`, float64."""
        x = self._noise(network, given)
        size = at_once(x, self.batch_size)
        total: dict[str, Any] = dict.fromkeys(network.layers, 0.0)
        # a sum as it goes: activations of all layers are larger than the inputs
        for part in batches(lambda rows: _activations(network, rows), x, size):
            for k in total:
                total[k] = total[k] + np.sum(part[k], axis=0, dtype=np.float64)
        return {k: a / len(x) for k, a in total.items()}

    def _noise(self, network, given):
        if self.noise == "validation":
            # those that weights are fitted on, and none of those that are chosen by
            return given.id_validation[: max(1, len(given.id_validation) // 2)]
        shape = given.id_validation.shape[1:]
        if self.noise == "uniform":
            random = np.random.default_rng(self.seed)
            return random.uniform(size=(self.images, *shape)).astype(np.float32)
        if network.mean is None or network.std is None:
            raise ValueError("noise='repository' needs network.mean and network.std")
        noise = protocols.repository_noise(shape, self.ood_count, self.images)
        return (np.asarray(network.mean) + network.std * noise).astype(np.float32)

    def layer_scores(self, network: Network, given: Given) -> LayerScores:
        means = self.singularity(network, given)
        points = {k: jnp.asarray(v, jnp.float32) for k, v in means.items()}
        score = Partial(_to_singularity, points)
        return LayerScores(network, score, self.form, self.sign, self.batch_size)

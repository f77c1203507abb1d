"""Detectors by gradients: of the last layer in closed form, or of all parameters."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.detector import Detector, Fitted, score_of
from flowjax_ood.ood.detectors.fitting import TINY, float32, float64
from flowjax_ood.ood.features import class_indices, class_means
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.nearest_neighbors import NearestNeighbors
from flowjax_ood.ood.network import Network, as_input
from flowjax_ood.ood.settings import COUNT, OneOf, ranges_of
from flowjax_ood.precision import at_least_float32

# inputs whose gradients are in memory together, each as large as the network
SIDE_BY_SIDE = 8
# training features whose gradients are computed together
BATCH = 1024


def grad_uncertainty(z, f):
    """`|C p - 1|^2 (|f|^2 + 1)`: the squared length of the last layer's gradient.

    Of `- sum_c log p_c`, by W and b: the cross-entropy of all classes at once (Lee &
    AlRegib 2020). Large where the network is sure, so larger in-distribution.
    """
    p = jax.nn.softmax(at_least_float32(z), axis=1)
    by_logits = jnp.sum((p.shape[1] * p - 1) ** 2, axis=1)
    return by_logits * (jnp.sum(at_least_float32(f) ** 2, axis=1) + 1)


@compiled
def _of_parameters(network: Network, x):
    """Square the same gradient by all parameters, `[B]`."""
    variables, apply = network.variables, network.apply
    assert apply is not None  # by `check`
    of_flax = isinstance(variables, dict) and "params" in variables

    def loss(parameters, row):
        given = {**variables, "params": parameters} if of_flax else parameters
        return -jnp.sum(jax.nn.log_softmax(apply(given, row[None])[1]))

    def squared(row):
        by = jax.grad(loss)(variables["params"] if of_flax else variables, row)
        return sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(by))

    return jax.lax.map(squared, as_input(x), batch_size=SIDE_BY_SIDE)


@dataclass(frozen=True)
class GradUncertainty(Detector):
    """Squared length of the gradient of `- sum_c log p_c`; see `grad_uncertainty`.

    `by`: "head", the last layer, in closed form; or "all" parameters in
    `network.variables`, by a backward pass for each input. The paper trains a
    classifier of such lengths; pytorch-ood takes their sum, with this orientation.
    """

    by: Literal["head", "all"] = "head"
    name = "GradUncertainty"
    ranges = ranges_of(by=OneOf(("head", "all")))

    @property
    def requires(self) -> Requires:
        return Requires(gradients=self.by == "all")

    def fit(self, network: Network, given: Given | None = None) -> Fitted:
        if self.by == "head":
            return super().fit(network, given)
        self.check(network, given or Given())
        if not jax.tree.leaves(network.variables):
            raise ValueError(
                f"{self.name} by all parameters needs them in network.variables, which "
                'has none: use by="head"'
            )

        def score(x, batch_size):
            return in_batches(
                partial(_of_parameters, network), x, at_once(x, batch_size)
            )

        return Fitted(self.name, self.requires, network, score, False)

    def prepared(self, network, given):
        return score_of(grad_uncertainty, "logits", "features")


def log_pull(f, prototypes, outlier):
    """Find where the outliers' prototype o `[D]` is pulled, and log how strongly.

    Returns `(f - o) / |f - o|` `[B, D]` and `log P` `[B]`: P times the first is the
    gradient by o of the cross-entropy of `- |f - m|` over the classes' prototypes m
    `[K, D]` and o, P what o has of the softmax (ElAraby et al. 2023).
    """
    f = at_least_float32(f)
    away = f - outlier
    distance = jnp.linalg.norm(away, axis=1)
    # one class at a time: [B, K, D] need not fit in memory
    others = jax.lax.map(lambda m: jnp.linalg.norm(f - m, axis=1), prototypes)
    others = jax.nn.logsumexp(-others, axis=0)
    return (
        away / jnp.maximum(distance, TINY)[:, None],
        -distance - jnp.logaddexp(-distance, others),
    )


def gradient(f, prototypes, outlier, log_scale):
    """Compute the gradient in units of `exp(log_scale)`, up to e^40 of them."""
    direction, log_length = log_pull(f, prototypes, outlier)
    return direction * jnp.exp(jnp.minimum(log_length - log_scale, 40.0))[:, None]


def grood(f, prototypes, outlier, log_scale, fitted):
    """`- |g - g_i|`, g the `gradient` and g_i the nearest in training."""
    return fitted.score(gradient(f, prototypes, outlier, log_scale))


_log_pull, _gradient = compiled(log_pull), compiled(gradient)


@dataclass(frozen=True)
class GrOOD(Detector):
    """Distance to the nearest training gradient by an outlier's prototype; see `grood`.

    Class prototypes are mean features. That of outliers is, by `outliers`,

    * "noise": the mean feature of uniform noise, of the tenth of `images` images that
      has the least energy (OpenOOD blurs its noise first, this does not);
    * "validation": that of `given.ood_validation`;
    * "mean": that of the class prototypes.

    Compared with training inputs that are predicted rightly, all if none is. Lengths
    are in units of the training gradients', root mean square: the published order.
    """

    outliers: Literal["noise", "validation", "mean"] = "noise"
    images: int = 100
    name = "GrOOD"
    ranges = ranges_of(
        outliers=OneOf(("noise", "validation", "mean")),
        images=COUNT,
    )

    @property
    def requires(self) -> Requires:
        needs = {"train_data": True, "labels": True, "class_numbers": True}
        return Requires(
            ood_validation=self.outliers == "validation",
            # noise is of the shape of those
            id_validation=self.outliers == "noise",
            **needs,
        )

    def prepared(self, network, given):
        z, f = float64(given.train)
        labels = np.asarray(given.labels)
        prototypes = class_means(f, class_indices(labels, len(f)))
        outlier = self._outlier(network, given, prototypes)
        arrays = float32({"prototypes": prototypes, "outlier": outlier})
        right = np.flatnonzero(z.argmax(1) == labels)
        # some are there twice, so that shapes do not depend on how many are right
        right = np.resize(right if len(right) else np.arange(len(f)), len(f))
        rows = np.asarray(f[right], np.float32)

        def pulls(part):
            return _log_pull(part, **arrays)[1]

        # in units of their root mean square: of sure networks, squares would underflow
        log_lengths = np.float64(in_batches(pulls, rows, BATCH))
        log_scale = np.logaddexp.reduce(2 * log_lengths) / 2 - np.log(len(rows)) / 2
        arrays["log_scale"] = jnp.float32(log_scale)
        of = in_batches(lambda part: _gradient(part, **arrays), rows, BATCH)
        fitted = NearestNeighbors.fit(of, k=1, normalize=False)
        return score_of(grood, "features", **arrays, fitted=fitted)

    def _outlier(self, network, given, prototypes):
        if self.outliers == "mean":
            return prototypes.mean(0)
        if self.outliers == "validation":
            return float64(network.collect(given.ood_validation))[1].mean(0)
        shape = given.id_validation.shape[1:]
        random = np.random.default_rng(given.seed)
        noise = random.uniform(size=(self.images, *shape)).astype(np.float32)
        z, f = float64(network.collect(noise))
        least = np.argsort(np.logaddexp.reduce(z, axis=1))
        return f[least[: max(1, self.images // 10)]].mean(0)

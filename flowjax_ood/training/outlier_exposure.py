"""Outlier Exposure: a classifier told to be unsure of images that are none of its own.

step = make_classifier_step(module, optimizer, objective=outlier_exposure())
batches = batches_with_outliers(images, labels, outliers, 128, 256, seed=0)

Source: Hendrycks et al. 2019.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.data.batching import WHOLE, Part, batch_indices
from flowjax_ood.training.batches import labelled_batches
from flowjax_ood.training.classification import ClassifierObjective, cross_entropy
from flowjax_ood.training.step import Batch

# Added to the seed: outliers are shuffled by themselves, and by no run's own seed.
OUTLIER_STREAM = 2**32


def outlier_loss(logits: jax.Array) -> jax.Array:
    """Cross-entropy of the uniform distribution, `logsumexp(z) - mean_c z_c`, nats.

    `logits` `[B, C]`; returns `[B]`, at least log C, which it is where all scores are
    the same.
    """
    return jax.nn.logsumexp(logits, -1) - jnp.mean(logits, -1)


def outlier_exposure(weight: float = 0.5) -> ClassifierObjective:
    """`objective(logits, batch)`: `cross_entropy + weight * mean outlier_loss`.

    The cross-entropy is of the first rows of `logits`, those of the labelled images,
    and the outlier loss of the others. Metrics: `accuracy` and `cross_entropy` of the
    former, `outlier_loss` of the latter. Raises ValueError for a negative `weight`.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must not be negative or infinite, got {weight}")

    def objective(logits: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        if "outlier" not in batch:
            raise ValueError(
                "outlier_exposure needs batches with outliers, got "
                f"{', '.join(sorted(batch))}; batches_with_outliers makes them"
            )
        labelled = len(batch["label"])
        own = {name: batch[name] for name in batch if name != "outlier"}
        fit, metrics = cross_entropy(logits[:labelled], own)
        unsure = jnp.mean(outlier_loss(logits[labelled:]))
        metrics |= {"cross_entropy": fit, "outlier_loss": unsure}
        return fit + weight * unsure, metrics

    return objective


def batches_with_outliers(
    images: np.ndarray,
    labels: np.ndarray,
    outliers: np.ndarray,
    batch_size: int,
    outlier_batch_size: int,
    seed: int,
) -> Callable[[int], dict[str, np.ndarray]]:
    """`batches(step)` of `labelled_batches`, and beside them outliers.

    `images` and `outliers` are uint8 `[N, H, W, C]`, each in a shuffled stream of its
    own. A batch also holds `outlier`, uint8 `[outlier_batch_size, H, W, C]`, and
    `outlier_index`, int32: positions counted on from the images'. A pure function of
    `(seed, step)`. Raises ValueError where they are not images of one shape.
    """
    for name, given in (("images", images), ("outliers", outliers)):
        if given.dtype != np.uint8 or given.ndim != 4:
            raise ValueError(
                f"{name} must be uint8 [N, H, W, C], got {given.dtype} of shape "
                f"{given.shape}"
            )
    if images.shape[1:] != outliers.shape[1:]:
        raise ValueError(
            f"images of shape {images.shape[1:]} cannot be trained with outliers of "
            f"shape {outliers.shape[1:]}"
        )
    own = labelled_batches(images, labels, batch_size, seed)

    def batches(step: int, part: Part = WHOLE) -> dict[str, np.ndarray]:
        at = batch_indices(
            len(outliers), outlier_batch_size, seed + OUTLIER_STREAM, step
        )
        at = part.of(at)
        index = (len(images) + at).astype(np.int32)
        return own(step, part) | {"outlier": outliers[at], "outlier_index": index}

    return batches

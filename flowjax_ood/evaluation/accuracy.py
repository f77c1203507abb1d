"""Logits and accuracy of a classifier over a whole set."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np

from flowjax_ood.data.sets import class_labels
from flowjax_ood.evaluation.likelihood import shown_batches
from flowjax_ood.ood.network import as_input
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch


def predict_logits(
    module: nn.Module,
    variables: dict,
    examples: np.ndarray,
    batch_size: int,
    label: str | None = None,
    parallel: Parallel | None = None,
) -> np.ndarray:
    """Compute class scores of every example, once and in order: float32 `[N, C]`.

    With running batch statistics, and no dropout.

    Args:
        module: the classifier.
        variables: of the module.
        examples: uint8 images `[N, H, W, C]`, or arrays that the module takes as they
            are; equal on every process.
        batch_size: rounded up to a multiple of the devices.
        label: of the progress that is shown; None shows none.
        parallel: the devices that share every batch; None is this process's first one.
    """
    parts = []
    if parallel is not None:
        variables = parallel.place_copies(variables)
        batch_size = parallel.multiple(batch_size)
    with shown_batches(len(examples), batch_size, label, "images") as batches:
        for at, mask in batches:
            rows = examples[at]
            if parallel is not None:
                rows = parallel.place_rows(rows)
            logits = fetch(_logits(module, variables, rows))
            parts.append(np.asarray(logits, np.float32)[mask])
    return np.concatenate(parts)


def evaluate_accuracy(
    module: nn.Module,
    variables: dict,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    label: str | None = None,
    parallel: Parallel | None = None,
) -> float:
    """Compute the fraction of `images` whose largest class score is their label's.

    Other arguments are those of `predict_logits`. Raises ValueError unless there is a
    label, a non-negative integer, for each image, and for class scores of several
    members.
    """
    labels = class_labels(labels, len(images))
    logits = predict_logits(module, variables, images, batch_size, label, parallel)
    if logits.ndim != 2:
        raise ValueError(
            f"accuracy is of class scores [N, C], got shape {logits.shape}: of several "
            "members, take one's at a time"
        )
    return float(np.mean(logits.argmax(-1) == labels))


@partial(jax.jit, static_argnums=0)
def _logits(module, variables, x):
    return module.apply(variables, as_input(x))

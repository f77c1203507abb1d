"""Logits and accuracy of a classifier over a whole set."""

from contextlib import nullcontext
from functools import partial

import flax.linen as nn
import jax
import numpy as np

from flowjax_ood.data.batching import padded_batches
from flowjax_ood.data.sets import class_labels
from flowjax_ood.ood.network import as_input
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch
from flowjax_ood.runtime.progress import progress


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
    parts, done = [], 0
    if parallel is not None:
        variables = parallel.place_copies(variables)
        batch_size = -(-batch_size // len(parallel.devices)) * len(parallel.devices)

    def place(rows):
        return rows if parallel is None else parallel.place_rows(rows)

    silent = nullcontext(None)
    with progress(label, len(examples), "images") if label else silent as shown:
        for at, mask in padded_batches(len(examples), batch_size):
            logits = fetch(_logits(module, variables, place(examples[at])))
            parts.append(np.asarray(logits, np.float32)[mask])
            done += int(mask.sum())
            if shown:
                shown.advance(done)
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
    label, a non-negative integer, for each image.
    """
    labels = class_labels(labels, len(images))
    logits = predict_logits(module, variables, images, batch_size, label, parallel)
    return float(np.mean(logits.argmax(-1) == labels))


@partial(jax.jit, static_argnums=0)
def _logits(module, variables, x):
    return module.apply(variables, as_input(x))

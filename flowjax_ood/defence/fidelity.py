"""How much of a classifier a clone has."""

import math
from dataclasses import dataclass

import numpy as np

from flowjax_ood.data.sets import class_labels
from flowjax_ood.defence.knockoff import Target


@dataclass(frozen=True)
class CloneFidelity:
    """Accuracy of `target` and `clone`, fractions; `relative`, clone over target.

    `agreement`: the fraction of images on which both have one label, right or wrong.
    `relative` is NaN where the target is never right.
    """

    target: float
    clone: float
    relative: float
    agreement: float


def fidelity(
    clone: Target, target: Target, images: np.ndarray, labels: np.ndarray
) -> CloneFidelity:
    """Compare what both answer to test images; `labels` int `[N]` are the right ones.

    Raises ValueError unless there is a label, a non-negative integer, for each image.
    """
    labels = class_labels(labels, len(images))
    own, copied = (model.predict(images, "label") for model in (target, clone))
    accuracy, stolen = (float(np.mean(found == labels)) for found in (own, copied))
    return CloneFidelity(
        target=accuracy,
        clone=stolen,
        relative=stolen / accuracy if accuracy else math.nan,
        agreement=float(np.mean(own == copied)),
    )

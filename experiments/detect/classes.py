"""The classes of the tested images, kept next to the scores: predicted, and true.

Decisions need more than a score: abstention what a network got wrong, and a class that
vanishes from a stream which images are of it.
"""

import numpy as np

from experiments.core import score_cache
from experiments.core.score_cache import PREDICTED, TRUE, Scored
from experiments.core.sets import Sets
from flowjax_ood.ood import protocols


def keep(directory, key: str, outputs, sizes: dict[str, int], labels) -> None:
    """Keep the network's class of every input, and the true ones where there are any.

    Numbers of classes, as floats like all that is kept.

    Args:
        directory: of the network's scores.
        key: what they depend on.
        outputs: `outputs(set)`, the network's outputs of a set.
        sizes: `{set: count}`, the in-distribution set the first.
        labels: `[N]` of the in-distribution set, or None.
    """

    def predicted() -> Scored:
        classes = {
            n: np.argmax(outputs(n).logits, -1).astype(np.float32) for n in sizes
        }
        return Scored(classes, [], {}, 0.0, 0.0)

    score_cache.kept(directory, PREDICTED, key, sizes, predicted)
    if labels is None:
        return
    name = next(iter(sizes))
    true = Scored({name: labels.astype(np.float32)}, [], {}, 0.0, 0.0)
    key = score_cache.digest(key, labels)
    score_cache.kept(directory, TRUE, key, {name: len(labels)}, lambda: true)


def tested_labels(sets: Sets, validation: int) -> np.ndarray | None:
    """Labels of the in-distribution images that are tested, in their order."""
    if sets.test.labels is None:
        return None
    return sets.test.labels[protocols.split(len(sets.test), validation).test]

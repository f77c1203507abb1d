"""Detectors without a flow, on the very vectors that the flow is on."""

import numpy as np
from ml_collections import ConfigDict

from experiments.results import ranking
from experiments.sets import Sets
from experiments.vector_sets import BASELINES

MAHALANOBIS, NEIGHBORS = BASELINES


def baseline_results(config: ConfigDict, sets: Sets) -> dict:
    """`{detector: {"auroc": {set: value}, "auroc_ci95": ..., "fitted_on": N}}`.

    Fitted on the training vectors as the flow sees them, `eval.limit_baselines` of them
    drawn by the seed (0: all). Mahalanobis once with one Gaussian for all and, where
    there are labels of several classes, once with one mean a class; nearest neighbours
    once as the vectors are, once of vectors scaled to length 1, which suits embeddings,
    and leaves only the direction of a table's row.
    """
    c = config.eval
    if not c.baselines:
        return {}
    train, labels = sets.inputs(sets.train), sets.train.labels
    if 0 < c.limit_baselines < len(train):
        # by chance: files may be sorted by class
        order = np.random.default_rng(config.seed).permutation(len(train))
        at = np.sort(order[: c.limit_baselines])
        train, labels = train[at], None if labels is None else labels[at]
    scored = {sets.test.name: sets.test, **sets.ood}
    scored = {name: sets.inputs(one) for name, one in scored.items()}
    found = {}
    for name, detector, notes in _detectors(c, train, labels):
        scores = {n: np.asarray(detector.score(x)) for n, x in scored.items()}
        found[name] = ranking(scores, sets.test.name)
        found[name] |= {"fitted_on": len(train), **notes}
    return found


def _detectors(c: ConfigDict, train: np.ndarray, labels: np.ndarray | None):
    """`(name, fitted detector, what to note)` of every detector asked for."""
    from flowjax_ood.ood import Mahalanobis, NearestNeighbors

    if MAHALANOBIS in c.baselines:
        yield MAHALANOBIS, Mahalanobis.fit(train), {}
        if labels is not None and len(np.unique(labels)) > 1:
            classes = {"classes": len(np.unique(labels))}
            yield f"{MAHALANOBIS}_classes", Mahalanobis.fit(train, labels), classes
    if NEIGHBORS in c.baselines:
        k = min(c.neighbors, len(train))
        for name, normalize in ((NEIGHBORS, False), (f"{NEIGHBORS}_unit", True)):
            detector = NearestNeighbors.fit(train, k=k, normalize=normalize)
            yield name, detector, {"k": k}

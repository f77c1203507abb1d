"""Fit detectors to training data that come in batches, in one pass for all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flowjax_ood.ood.detector import Detector, Fitted
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.network import Network, Outputs
from flowjax_ood.ood.summaries import Summary, as_labels

BANK = 50_000


def fit_stream(
    detectors: Sequence[Detector],
    network: Network,
    batches: Iterable[Any],
    given: Given | None = None,
    *,
    bank: int = BANK,
    batch_size: int = 250,
) -> list[Fitted]:
    """Fit detectors to batches of training data, looking at each once.

    What is kept are sums (means, covariances, by class), and, for detectors that
    compare with training rows or take quantiles of them (KNN, NNGuide, ReAct; ViM for
    its scale), a bank. Batches of any sizes give the same scores to rounding, in any
    order unless there are more rows than the bank holds: those of a longer stream are
    a random sample, seeded by `given.seed`.

    Args:
        detectors: including those that need no training data.
        network: one for all; without `apply` for batches of `Outputs`.
        batches: `(x, labels)`, inputs as `network.collect` takes them, or `(Outputs,
            labels)`; without labels, `x` or `Outputs` alone.
        given: all else that detectors are fitted on, as validation inputs.
        bank: rows of logits and features that may be kept.
        batch_size: at most so many inputs go through the network at a time.

    Raises:
        TypeError: `batches` is one array or `Outputs` instead of an iterable of
            batches, or a batch is of another type.
        ValueError: a detector that needs all outputs at once, or misses something; no
            rows; what `fit` raises for them.
    """
    given = Given() if given is None else given
    if given.train is not None or given.labels is not None:
        raise ValueError(
            "fit_stream takes training data from batches: leave train and labels out "
            "of given"
        )
    if bank < 1:
        raise ValueError(f"bank must be 1 or more rows, got {bank}")
    states: dict[Summary, Any] = {}
    for detector in detectors:
        needs = detector.requires
        if needs.train_data or needs.train_inputs:
            wanted = None if needs.train_inputs else detector.summaries(network)
            if wanted is None:
                raise ValueError(
                    f"{detector.name} needs all training data at once, not in "
                    "batches: fit(network, Given(train=network.collect(batches)))"
                )
            states |= {s: s.start(given.seed, bank) for s in wanted}
        # what is missing is said before the pass
        detector.check(network, replace(given, summaries={}))
    rows = 0
    if states:
        for number, batch in enumerate(_iterated(batches)):
            outputs, labels = _outputs(network, batch, number, batch_size)
            rows += len(outputs.logits)
            for detector in detectors:
                detector.check_train(network, outputs, labels)
            for summary in states:
                states[summary] = summary.add(states[summary], outputs, labels)
        if not rows:
            raise ValueError("no training data: batches gave no rows")
    results = {summary: summary.finish(state) for summary, state in states.items()}
    streamed = replace(given, summaries=results)
    return [detector.fit(network, streamed) for detector in detectors]


def _iterated(batches):
    if hasattr(batches, "shape") or isinstance(batches, Outputs | Given):
        raise TypeError(
            f"batches must be an iterable of batches, got {type(batches).__name__}: "
            "pass [(x, labels)] for a single one"
        )
    return batches


def _outputs(network, batch, number, batch_size) -> tuple[Outputs, np.ndarray | None]:
    x, labels = batch, None
    if isinstance(batch, tuple | list) and not isinstance(batch, Outputs):
        if len(batch) != 2:
            raise TypeError(
                f"batch {number} has {len(batch)} parts: give (x, labels), x or Outputs"
            )
        x, labels = batch
    if isinstance(x, Outputs):
        return Outputs.of(*x), as_labels(labels)
    if not hasattr(x, "shape"):
        raise TypeError(
            f"batch {number} holds a {type(x).__name__}: give (x, labels), x or "
            "Outputs, with x an array [n, ...]"
        )
    return network.collect(x, batch_size), as_labels(labels)

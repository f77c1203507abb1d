"""A trained run's flow as scores see it, and its outputs, made once for all scores."""

import time

import numpy as np

from experiments.core.evaluation import TrainedFlow
from flowjax_ood import ood


class Passes:
    """Outputs of a flow for images, made when they are first asked for.

    `milliseconds` an image are those of one pass, without what compiling took.
    """

    def __init__(self, flow: ood.ScoredFlow, batch_size: int):
        self.flow, self.batch_size = flow, batch_size
        self.kept: dict[str, ood.FlowOutputs] = {}
        self.milliseconds = 0.0

    def outputs(self, name: str, images: np.ndarray) -> ood.FlowOutputs:
        if name not in self.kept:
            if not self.milliseconds:
                self.flow.collect(images[: self.batch_size], self.batch_size)
            start = time.monotonic()
            self.kept[name] = self.flow.collect(images, self.batch_size)
            self.milliseconds = 1e3 * (time.monotonic() - start) / len(images)
        return self.kept[name]

    def forget(self, names) -> None:
        """Free the memory of sets that no more scores are computed of."""
        for name in names:
            self.kept.pop(name, None)


def scored_flow(trained: TrainedFlow) -> ood.ScoredFlow:
    """The flow as scores see it; UserError for one that is conditioned on classes."""
    trained.refuse_classes(
        "scores read the latents and terms of a flow without; `evaluate` measures its "
        "likelihoods, which are those of a mixture"
    )
    return ood.ScoredFlow(
        trained.flow,
        trained.variables,
        seed=trained.config.eval.seed,
        bins=trained.sets.bins,
    )

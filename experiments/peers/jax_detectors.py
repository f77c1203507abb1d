"""This library's detectors, fitted to features that are there already."""

from collections.abc import Callable
from functools import partial

import jax

from experiments.peers.tasks import DetectorCalls, Features, FeatureShape
from flowjax_ood import ood


def ours(shape: FeatureShape, task: str, data: Features) -> DetectorCalls:
    """`ood.<task>` with its published settings, by `fit` and `score_outputs`."""
    head = data.weights, data.bias
    network = ood.Network(_linear, variables=head, head=head, penultimate="features")
    train, scored = map(network.collect, (data.train, data.scored))
    detector = OPTIONS.get(task, getattr(ood, task))()
    held: list[ood.Fitted] = []

    def fit():
        # a new one every time: it keeps what it was asked for
        given = ood.Given(train=train, labels=data.labels)
        held[:] = [detector.fit(network, given)]
        jax.block_until_ready(jax.tree.leaves(held[0].function))

    def score():
        fitted = held[0]
        if fitted.of_outputs:
            return fitted.score_outputs(scored)
        return fitted.score(data.scored)

    return DetectorCalls(data.weights.size + data.bias.size, fit, score)


def _linear(variables, x):
    weights, bias = variables
    return {"features": x}, x @ weights + bias


# where both libraries have other settings by default, or ours takes other data
OPTIONS: dict[str, Callable[[], ood.Detector]] = {
    "ODIN": partial(ood.ODIN, magnitudes=(0.0014,), temperatures=(1000.0,)),
    "NNGuide": partial(ood.NNGuide, share=1.0),
    "TempScale": partial(ood.TempScale, fitted_on="train"),
}

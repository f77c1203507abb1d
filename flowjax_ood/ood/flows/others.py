"""Several flows of the same events, scored at the same points."""

from dataclasses import replace

import numpy as np

from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow


def check_same_events(name: str, flow: ScoredFlow, others, what: str) -> None:
    """Raise TypeError or ValueError where one of `others` has other events."""
    for number, other in enumerate(others):
        if not isinstance(other, ScoredFlow):
            raise TypeError(
                f"{name}: {what} must be a ScoredFlow, got {type(other).__name__}: of "
                "a trained flow, ood.ScoredFlow(flow, variables)"
            )
        ours, theirs = (flow.shape, flow.bins), (other.shape, other.bins)
        if ours != theirs:
            raise ValueError(
                f"{name}: {what} number {number} is of events of shape {theirs[0]} and "
                f"{theirs[1]} bins, the flow of {ours[0]} and {ours[1]}: train both on "
                "the same kind of events"
            )


def log_prob_under(flow: ScoredFlow, other: ScoredFlow, outputs: FlowOutputs):
    """Evaluate `other` on the same events with the flow's noise: float64 `[N]`, nats.

    The noise is that of draw 0, as of `ScoredFlow.collect` without another `draw`.
    """
    log_prob = replace(other, seed=flow.seed).collect(outputs.events).log_prob
    return np.where(np.isfinite(log_prob), log_prob, np.nan)

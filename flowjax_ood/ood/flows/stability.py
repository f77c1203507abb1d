"""How much log p(x) changes when an image hardly does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from flowjax_ood.ood.batched import at_once, compiled, in_batches
from flowjax_ood.ood.flows.outputs import FlowInputs, FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import FlowScore, Score
from flowjax_ood.ood.given import Given
from flowjax_ood.ood.settings import OneOf, ranges_of

# draws of the dequantisation noise, of which the variance is taken
DRAWS = 8


def shifted(images: np.ndarray) -> np.ndarray:
    """Move images `[N, H, W, C]` to the right by a pixel; the first column is kept."""
    return np.concatenate([images[:, :, :1], images[:, :, :-1]], 2)


def coarser(images: np.ndarray) -> np.ndarray:
    """Set the last bit of every value to 0: 7 bits are left of 8."""
    return images >> 1 << 1


def blurred(images: np.ndarray) -> np.ndarray:
    """Average by the weights (1, 2, 1) / 4 along rows and columns, and round.

    At the borders, the outermost pixels are repeated.
    """
    _, height, width, _ = images.shape
    x = np.pad(images.astype(np.uint32), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    x = x[:, :height] + 2 * x[:, 1 : height + 1] + x[:, 2:]
    x = x[:, :, :width] + 2 * x[:, :, 1 : width + 1] + x[:, :, 2:]
    return ((x + 8) // 16).astype(images.dtype)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shift": shifted,
    "bits": coarser,
    "blur": blurred,
}


@compiled
def _log_prob(scored: ScoredFlow, inputs: FlowInputs):
    x = scored.points(inputs)
    return scored.flow.apply(scored.variables, x, method="log_prob")


@dataclass(frozen=True)
class Stability(FlowScore):
    """`log p(x) - log p(T x)`, nats: how much likelier an image is than T of it.

    `change` names T, which is fixed:

    * "shift": a pixel to the right; the first column is repeated;
    * "bits": without the last bit;
    * "blur": by the weights (1, 2, 1) / 4 along rows and columns, rounded;
    * "draws": T draws other dequantisation noise. The score is minus the variance over
      8 draws, nats^2.

    x and T x have the same noise, so the score is 0 where T x = x. Images near a mode
    lose by a change: high counts as in-distribution. But an image may lose too much as
    well: both sides tell (`low_share` is 0.5, of the variance 0.8).

    Images that were made by a change like T are told to this score: results on blurred
    or shifted outliers do not say how it does on outliers that nobody thought of.
    """

    change: str = "draws"
    label: str = ""
    of_images: ClassVar[bool] = True
    ranges: ClassVar = ranges_of(change=OneOf(("draws", *CHANGES)))

    @property
    def name(self) -> str:
        return self.label or f"stability, {self.change}"

    @property
    def low_share(self) -> float:
        return 0.8 if self.change == "draws" else 0.5

    @property
    def passes(self) -> float:
        return 1.0 + (DRAWS if self.change == "draws" else 2)

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        def log_prob(inputs: FlowInputs) -> np.ndarray:
            together = at_once(inputs.events, 250)
            program = partial(_log_prob, network)
            return in_batches(program, inputs, together).astype(np.float64)

        def variance(outputs: FlowOutputs) -> np.ndarray:
            draws = [network.inputs(outputs.events, draw) for draw in range(DRAWS)]
            return -np.var([log_prob(inputs) for inputs in draws], 0, ddof=1)

        def difference(outputs: FlowOutputs) -> np.ndarray:
            inputs = network.inputs(outputs.events)
            changed = CHANGES[self.change](outputs.events)
            return log_prob(inputs) - log_prob(inputs._replace(events=changed))

        return variance if self.change == "draws" else difference

"""Two-layer monitor: is the item unusual, is its context? One decision for both."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from flowjax_ood.data.checks import row_digests
from flowjax_ood.data.scenes import Scenes
from flowjax_ood.ood.calibration import Scorer
from flowjax_ood.ood.checks import check_disjoint
from flowjax_ood.ood.context import Context
from flowjax_ood.ood.given import Given, Requires, fitted_inputs
from flowjax_ood.ood.p_values import ROUNDING, bonferroni, low_ranks, warn_of_few
from flowjax_ood.ood.thresholds import check_scores


class Verdict(NamedTuple):
    """Of every item of S scenes: p-values, whether there is an alarm, and of whom.

    * `p_first`, `p_second`, float64 `[S, N]`: of the item, and of its context;
    * `p`: `min(1, 2 min(p_first, p_second))`;
    * `alarm`, bool: `p <= alpha`;
    * `layer`, int: 1 or 2, whose p-value is smaller (1 where they are equal), and 0
      where there is no alarm.
    """

    p_first: np.ndarray
    p_second: np.ndarray
    p: np.ndarray
    alarm: np.ndarray
    layer: np.ndarray


@dataclass(frozen=True, eq=False)
class Monitor:
    """Alarms for items that are unusual, or out of context, at a rate of at most alpha.

        monitor = Monitor(first=fitted, second=context).calibrate(held_out, alpha=0.05)
        verdict = monitor(scenes)

    `first` is a fitted detector of images, such as `JointDensity` gives; `second` a
    fitted `ContextModel`. Of S calibration scenes of N items,
    `p = (1 + #{calibration scores <= score} / N) / (S + 1)` for each layer. An item
    drawn at random from a scene that is exchangeable with those of calibration has
    P(p <= t) <= t, although items of a scene depend on each other (Lee, Barber and
    Willett 2023), and Bonferroni's minimum holds however the two layers do. To combine
    several statistics of one model by such p-values is Magesh et al.'s (2022).
    """

    first: Scorer
    second: Context
    alpha: float | None = None
    items: int = 0
    adjacency: np.ndarray | None = field(default=None, repr=False)
    # of calibration, ascending `[S * N]`: those of each layer
    scores: tuple[Any, ...] = field(default=(), repr=False)

    def calibrate(
        self, scenes: Scenes, alpha: float = 0.05, given: Given | None = None
    ) -> "Monitor":
        """Keep both layers' scores of in-distribution scenes of no training.

        Scenes are told from what the layers were fitted to by the bytes of their items.
        A `JointDensity` and the context know their images; of another first layer they
        are those that `given`, what it was fitted to, holds, and without it nobody
        checks.

        Warns where there are too few scenes for any alarm: below 2 / alpha - 1. Raises
        ValueError for images that a layer is known to have been fitted to, for scores
        that are NaN, and for alpha outside (0, 1).
        """
        consequence = "the monitor never rings"
        warn_of_few(alpha, len(scenes), consequence, sides=2)
        self._check_unknown(scenes, given)
        layers = zip(("first", "second"), self.layer_scores(scenes), strict=True)
        # before they are sorted: NaN would be last, as what is most usual
        scores = tuple(
            np.sort(check_scores(f"calibration scores of the {name} layer", s.ravel()))
            for name, s in layers
        )
        return replace(
            self,
            alpha=alpha,
            items=scenes.labels.shape[1],
            adjacency=scenes.adjacency,
            scores=scores,
        )

    def layer_scores(self, scenes: Scenes) -> tuple[np.ndarray, np.ndarray]:
        """Score every item by both layers: `[S, N]` each, higher is more usual."""
        first = self.first.score(scenes.flat).reshape(scenes.labels.shape)
        return first, self.second.score(scenes)

    def __call__(self, scenes: Scenes) -> Verdict:
        """Judge all items of scenes. Raises ValueError before `calibrate`.

        And for scenes of another number of items, or of other neighbours, than those of
        calibration: their scores have another law.
        """
        return self.verdict(scenes, *self.layer_scores(self._checked(scenes)))

    def verdict(self, scenes: Scenes, first, second) -> Verdict:
        """The same, of scores `[S, N]` of both layers that are known already."""
        self._checked(scenes)
        assert self.alpha is not None  # by `_checked`
        layers = zip(("first", "second"), (first, second), self.scores, strict=True)
        p = np.stack([self._p(name, s, known) for name, s, known in layers])
        joint = bonferroni(p.reshape(2, -1).T).reshape(p.shape[1:])
        alarm = joint <= self.alpha * (1 + ROUNDING)
        layer = np.where(alarm, np.where(p[0] <= p[1], 1, 2), 0)
        return Verdict(p[0], p[1], joint, alarm, layer)

    def _p(self, name: str, scores, known: np.ndarray) -> np.ndarray:
        scores = np.asarray(scores)
        below = low_ranks(check_scores(name, scores.ravel()), known) - 1
        found = (1 + below / self.items) / (len(known) // self.items + 1)
        return found.reshape(scores.shape)

    def _checked(self, scenes: Scenes) -> Scenes:
        if self.alpha is None:
            raise ValueError(
                "this monitor has no calibration: monitor.calibrate(scenes) gives one "
                "that decides"
            )
        if scenes.labels.shape[1] != self.items:
            raise ValueError(
                f"the monitor was calibrated on scenes of {self.items} items, got "
                f"{scenes.labels.shape[1]}: calibrate it on scenes like these"
            )
        known = self.adjacency
        if known is None or not np.array_equal(scenes.adjacency, known):
            raise ValueError(
                "the items of these scenes have other neighbours than those of "
                "calibration: calibrate the monitor on scenes like these"
            )
        return scenes

    def _check_unknown(self, scenes: Scenes, given: Given | None) -> None:
        if given is not None:
            requires = getattr(self.first, "requires", Requires())
            for what, inputs in fitted_inputs(requires, given).items():
                remedy = "calibrate by scenes of other images"
                check_disjoint(scenes.flat, inputs, "the first layer", what, remedy)
        layers = {"first": self.first, "second": self.second}
        digests = list(row_digests(scenes.flat))
        for name, layer in layers.items():
            known: frozenset[bytes] = getattr(layer, "known", frozenset())
            same = np.array([digest in known for digest in digests], bool)
            if same.any():
                raise ValueError(
                    f"{same.sum()} of {len(same)} items of the calibration scenes "
                    f"trained the {name} layer, the first is item "
                    f"{int(same.argmax()) % scenes.labels.shape[1]} of scene "
                    f"{int(same.argmax()) // scenes.labels.shape[1]}: calibrate by "
                    "scenes of other images"
                )

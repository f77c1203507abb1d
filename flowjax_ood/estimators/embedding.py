"""Outliers among the feature vectors of an encoder."""

from functools import partial
from typing import Literal

import jax
import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.estimators.base import BLOCK, OutlierDetector
from flowjax_ood.estimators.columns import Columns
from flowjax_ood.novelty.combination import RankGauss
from flowjax_ood.novelty.density import FlowSettings
from flowjax_ood.novelty.detector import NoveltyModel, NoveltySettings, fit_model
from flowjax_ood.ood.batched import compiled, in_blocks


class EmbeddingOutlierDetector(OutlierDetector):
    """Outliers are feature vectors that several statistics find unusual together.

    Those of `flowjax-ood fit`: the length in bands of principal components and outside
    of all, the distance to neighbours, to clusters of 300 rows or more, and of 1,000
    the density of a flow. Ranks among rows that they were not fitted to make them
    comparable, and a score of their normal scores combines them (`RankGauss`). All
    values beyond 10,000 standard deviations count alike.

    Parameters:
        components: principal components kept, at most half as many as rows.
        neighbours: the distance to so manieth nearest row counts.
        clusters: of k-means; takes ten rows for each, 0 leaves them out.
        flow: "auto", a `novelty.density.FlowSettings`, or None for no flow.
        contamination: the share of X that are outliers, in (0, 0.5]; "auto" puts
            `offset_` at Tukey's fence, 1.5 interquartile ranges below the first
            quartile, of scores of X by statistics that were not fitted to the rows.
        false_alarms: a share alpha. Part of X, drawn by `random_state`, is not fitted
            to but calibrates `offset_`: at most alpha of the normal rows to come are
            called outliers, on average over X, whatever their law. X must hold normal
            rows alone.
        random_state: seeds clusters, the flow and what is held back.

    Attributes:
        offset_: the score below which rows are outliers.
        calibration_: the `ood.Calibration` by rows held back, or None.
        columns_: means and scales of the columns.
        model_: the fitted statistics; `model_.names` are theirs.
        n_features_in_: columns; `feature_names_in_`, where they have names.
    """

    _least = 10

    def __init__(
        self,
        components: int = 256,
        neighbours: int = 5,
        clusters: int = 30,
        flow: FlowSettings | Literal["auto"] | None = "auto",
        contamination: float | Literal["auto"] = "auto",
        false_alarms: float | None = None,
        random_state=None,
    ):
        self.components = components
        self.neighbours = neighbours
        self.clusters = clusters
        self.flow = flow
        self.contamination = contamination
        self.false_alarms = false_alarms
        self.random_state = random_state

    def _check(self) -> None:
        for name, least in (("components", 1), ("neighbours", 1), ("clusters", 0)):
            whole_number(name, getattr(self, name), least)
        if not (
            self.flow is None
            or isinstance(self.flow, FlowSettings)
            or (isinstance(self.flow, str) and self.flow == "auto")
        ):
            raise ValueError(
                f'flow must be "auto", None or a FlowSettings, got {self.flow!r}'
            )

    def _train(self, x: np.ndarray, seed: int) -> np.ndarray:
        self.columns_ = Columns.keeping_all(x)
        settings = NoveltySettings(
            components=self.components,
            neighbours=self.neighbours,
            clusters=self.clusters,
            flow=FlowSettings() if self.flow == "auto" else self.flow,
            seed=seed,
        )
        model, ranked, _ = fit_model(self.columns_(x), None, (settings,))
        # in NumPy, which any machine reads
        self.model_ = jax.device_get(model)
        ranked = ranked.astype(np.float32)
        return np.asarray(_combined(model.combination, ranked), np.float64)

    def _score(self, x: np.ndarray) -> np.ndarray:
        found = in_blocks(partial(_scores, self.model_), self.columns_(x), BLOCK)
        return np.asarray(found, np.float64)


@compiled
def _scores(model: NoveltyModel, x) -> jax.Array:
    return model.both(x)[0]


@compiled
def _combined(combination: RankGauss, values) -> jax.Array:
    return combination.score(values)

"""Outliers of a table by a normalizing flow."""

from typing import Literal

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.estimators.base import OutlierDetector, check_positive
from flowjax_ood.estimators.columns import LIMIT, Columns
from flowjax_ood.estimators.density import (
    FlowDensity,
    KernelDensity,
    automatic_steps,
)

# share of rows that choose the number of steps, of so many rows or more
HELD_OUT, LEAST_SPLIT = 0.2, 10


class FlowOutlierDetector(OutlierDetector):
    """Outliers are rows of low density under a flow trained on standardised columns.

    Scores are `log p(x)` in nats, in the units of X, or typicality. The flow is a
    `TabularRealNVP` that starts as a Gaussian of the columns' means and correlations.
    Of 10 rows or more, a fifth is held out and chooses the number of training steps, so
    that the Gaussian stays where rows are too few for more; of fewer it is all there
    is. A table with one column that varies has no second to couple with: its density is
    a kernel estimate with Silverman's bandwidth.

    Columns that are constant in X are left out; a row that differs from one has density
    0, which counts as 5e7 nats less. All values beyond 10,000 standard deviations count
    alike.

    Parameters:
        couplings: of the flow, 2 or more.
        width: of the networks of its couplings.
        steps: of training at most, 128 rows each; "auto" is `10 sqrt(n)`, 100 to 1,000.
        learning_rate: of Adam, decays to 0.
        whiten: take off the columns' correlations first.
        statistic: "log_prob"; or "typicality", `-|log p(x) - m|`, m the median of log p
            over rows held out: outliers may be denser than what is normal (Nalisnick et
            al. 2019, with the median for the mean, which outliers in X would move).
        contamination: the share of X that are outliers, in (0, 0.5]; "auto" puts
            `offset_` at Tukey's fence of the scores of rows held out, 1.5 interquartile
            ranges below the first quartile.
        false_alarms: a share alpha. Part of X, drawn by `random_state`, takes no part
            in training but calibrates `offset_`: at most alpha of the normal rows to
            come are called outliers, on average over X, whatever the flow has learned.
            X must hold normal rows alone.
        random_state: seeds weights, batches and what is held out.

    Attributes:
        offset_: the score below which rows are outliers.
        calibration_: the `ood.Calibration` by rows held back, or None.
        columns_: means, scales and whitening of the columns.
        density_: the trained density of what they make.
        typical_: the median of log p over the rows held out.
        n_features_in_: columns; `feature_names_in_`, where they have names.
    """

    def __init__(
        self,
        couplings: int = 6,
        width: int = 64,
        steps: int | Literal["auto"] = "auto",
        learning_rate: float = 2e-3,
        whiten: bool = True,
        statistic: Literal["log_prob", "typicality"] = "log_prob",
        contamination: float | Literal["auto"] = "auto",
        false_alarms: float | None = None,
        random_state=None,
    ):
        self.couplings = couplings
        self.width = width
        self.steps = steps
        self.learning_rate = learning_rate
        self.whiten = whiten
        self.statistic = statistic
        self.contamination = contamination
        self.false_alarms = false_alarms
        self.random_state = random_state

    def _check(self) -> None:
        whole_number("couplings", self.couplings, 2)
        whole_number("width", self.width, 1)
        if self.steps != "auto":
            whole_number("steps", self.steps, 1)
        check_positive(learning_rate=self.learning_rate)
        if self.statistic not in ("log_prob", "typicality"):
            raise ValueError(
                f'statistic must be "log_prob" or "typicality", got {self.statistic!r}'
            )

    def _train(self, x: np.ndarray, seed: int) -> np.ndarray:
        order = np.random.default_rng(seed).permutation(len(x))
        count = round(HELD_OUT * len(x)) if len(x) >= LEAST_SPLIT else 0
        fitted, held_out = x[np.sort(order[count:])], x[order[:count]]
        self.columns_ = Columns.fit(fitted, self.whiten)
        z = self.columns_(fitted)
        if z.shape[1] == 1:
            self.density_: KernelDensity | FlowDensity = KernelDensity.fit(z, seed)
        else:
            self.density_ = FlowDensity.fit(
                z,
                self.columns_(held_out),
                couplings=self.couplings,
                width=self.width,
                steps=automatic_steps(len(z)) if self.steps == "auto" else self.steps,
                learning_rate=self.learning_rate,
                seed=seed,
            )
        # rows that were fitted to are likelier than others
        log_prob = self._log_prob(held_out if count else fitted)
        self.typical_ = float(np.median(log_prob))
        return self._of(log_prob)

    def _score(self, x: np.ndarray) -> np.ndarray:
        return self._of(self._log_prob(x))

    def _of(self, log_prob: np.ndarray) -> np.ndarray:
        if self.statistic == "log_prob":
            return log_prob
        return -np.abs(log_prob - self.typical_)

    def _log_prob(self, x: np.ndarray) -> np.ndarray:
        columns = self.columns_
        inside = self.density_.log_prob(columns(x)) + columns.log_det
        return inside - LIMIT**2 / 2 * columns.differing(x)

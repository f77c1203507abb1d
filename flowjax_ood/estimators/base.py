"""What outlier detectors share: checks, held-back rows, the offset and decisions."""

import math
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from flowjax_ood.novelty.detector import LEAST_FITTED, calibration_count
from flowjax_ood.ood.calibration import Calibration
from flowjax_ood.ood.p_values import largest_rank

# rows scored together
BLOCK = 256
# lengths of the interquartile range below the first quartile (Tukey 1977)
FENCE = 1.5


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Decisions by a score, of which higher is more normal.

    A subclass has the parameters `contamination`, `false_alarms` and `random_state`
    and the methods `_check`, `_train` and `_score`.
    """

    # rows that `_train` takes, at least
    _least = 2

    def _check(self) -> None:
        """Raise ValueError for parameters out of range."""
        raise NotImplementedError

    def _train(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Fit to rows `[n, D]`, float64; return scores for "auto" to look at."""
        raise NotImplementedError

    def _score(self, x: np.ndarray) -> np.ndarray:
        """Finite scores `[N]` of rows `[N, D]`, float64."""
        raise NotImplementedError

    def fit(self, X, y=None):
        """Fit to rows `[n, D]`, most of them normal; `y` is not looked at.

        Sets `offset_`: where scores begin to be those of inliers.

        Raises:
            ValueError: too few rows, NaN or infinity, no column that varies, and
                parameters out of range.
        """
        x = validate_data(
            self, X, dtype=np.float64, ensure_min_samples=max(2, self._least)
        )
        self._check_decision()
        self._check()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        # of the same number in every fit, so that one refit without forgets it
        self.calibration_ = None
        if self.false_alarms is not None:
            rows = np.random.default_rng(seed).permutation(len(x))
            held_back, fitted = np.split(rows, [self._held_back(len(x))])
            self._train(x[np.sort(fitted)], seed)
            self.calibration_ = Calibration.fit(self._score(x[held_back]))
            self.offset_ = self.calibration_.threshold(self.false_alarms)
            return self
        scores = self._train(x, seed)
        if self.contamination == "auto":
            self.offset_ = fence(scores)
        else:
            share = 100 * self.contamination
            self.offset_ = float(np.percentile(self._score(x), share))
        return self

    def score_samples(self, X) -> np.ndarray:
        """Score rows `[N, D]`: float64 `[N]`, higher is more normal."""
        check_is_fitted(self)
        return self._score(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X) -> np.ndarray:
        """`score_samples(X) - offset_`: float64 `[N]`, below 0 are outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X) -> np.ndarray:
        """Tell inliers, 1, from outliers, -1: integers `[N]`.

        With `false_alarms`, outliers are the rows of a p-value of at most that.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    @available_if(lambda self: _of_a_guarantee(self))
    def p_values(self, X) -> np.ndarray:
        """p-values of rows `[N, D]`, of detectors with `false_alarms`: `[N]`.

        `P(p <= t) <= t` of rows that are exchangeable with those held back.
        """
        scores = self.score_samples(X)
        if self.calibration_ is None:
            raise ValueError(
                "this detector was fitted without false_alarms and held nothing back: "
                "fit it again"
            )
        return self.calibration_.p_values(scores)

    def _check_decision(self) -> None:
        share, alpha = self.contamination, self.false_alarms
        if isinstance(share, str) and share == "auto":
            pass
        elif not (_is_real(share) and 0 < share <= 0.5):
            raise ValueError(
                f'contamination must be "auto" or a share in (0, 0.5], got {share!r}'
            )
        elif alpha is not None:
            raise ValueError(
                f"contamination={share!r} flags a share of X, false_alarms={alpha!r} "
                'one of normal rows to come: leave contamination at "auto"'
            )
        if alpha is not None and not (_is_real(alpha) and 0 < alpha < 1):
            raise ValueError(
                "false_alarms must be None or a share strictly between 0 and 1, got "
                f"{alpha!r}"
            )

    def _held_back(self, total: int) -> int:
        """How many rows calibrate: as many as false alarms of that rate need."""
        alpha = self.false_alarms
        least = max(1, math.ceil(1 / alpha) - 1)
        least += not largest_rank(alpha, least)
        count = max(calibration_count(total), least)
        needed = count + max(LEAST_FITTED, self._least)
        if total < needed:
            raise ValueError(
                f"n_samples={total} is too few for false_alarms={alpha}: {count} are "
                f"held back and {needed - count} fitted to; give {needed}, or other "
                "false_alarms"
            )
        return count


def fence(scores: np.ndarray) -> float:
    """`q1 - 1.5 (q3 - q1)` of quartiles: the lower inner fence of Tukey (1977)."""
    low, high = np.percentile(scores, [25, 75])
    return float(low - FENCE * (high - low))


def check_positive(**given) -> None:
    """Raise ValueError for what is no finite number above 0."""
    for name, value in given.items():
        if not (_is_real(value) and 0 < value < math.inf):
            raise ValueError(f"{name} must be a number above 0, got {value!r}")


def _is_real(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _of_a_guarantee(detector) -> bool:
    if detector.false_alarms is None:
        raise AttributeError(
            "p_values need rows that were held back: give false_alarms, such as 0.01"
        )
    return True

"""Scores into decisions: p-values, thresholds and their false alarms, by calibration.

Calibration scores are of in-distribution inputs of no training. All that is promised
needs them exchangeable with the in-distribution inputs to come; nothing else.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from flowjax_ood.ood.intervals import Estimate, check_level
from flowjax_ood.ood.p_values import (
    high_ranks,
    largest_rank,
    low_ranks,
    warn_of_few,
)
from flowjax_ood.ood.rejection import Control, Rejections, reject
from flowjax_ood.ood.thresholds import check_scores

Side = Literal["low", "high", "two"]
Conditional = Literal["simes", "dkw"]

# calibration scores that p-values for nearly all calibration sets need
LEAST_CALIBRATED = 20


@dataclass(frozen=True, eq=False)
class Calibration:
    """n held-out in-distribution scores, ascending, and the side that is unusual.

    `side`: "low" as all scores of this library are; "high" for distances; "two" where
    both ends tell, as of likelihoods that outliers may exceed. Choose it before looking
    at what is tested. Infinite scores rank like others.

    Raises TypeError or ValueError as `check_scores` does, and for another side.
    """

    scores: np.ndarray = field(repr=False)
    side: Side = "low"

    def __post_init__(self):
        if self.side not in ("low", "high", "two"):
            raise ValueError(f'side must be "low", "high" or "two", got {self.side!r}')
        ordered = np.sort(check_scores("calibration scores", self.scores))
        ordered.setflags(write=False)
        object.__setattr__(self, "scores", ordered)

    @classmethod
    def fit(cls, scores, side: Side = "low") -> "Calibration":
        """Keep scores `[n]` in order. Raises as said above."""
        return cls(scores, side)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def least_p(self) -> float:
        """`1 / (n + 1)`, the least p-value there can be; twice that of two sides."""
        return min(1.0, self._sides / (len(self) + 1))

    def p_values(
        self,
        scores,
        conditional: Conditional | None = None,
        delta: float = 0.1,
        key: int | None = None,
    ) -> np.ndarray:
        """`P(p <= t) <= t` for in-distribution scores `[m]`: float64 `[m]`, in (0, 1].

        By default `(1 + #{calibration <= score}) / (n + 1)`; of "high" scores, `>=`; of
        two sides, twice the smaller, at most 1. Valid on average over calibration sets:
        of one set, P(p <= t) is that of `false_alarms(t)`.

        `conditional`: p-values that are valid for all t at once with probability
        1 - delta over the calibration set, so that it may be used again and again:

        * "simes": `1 - a_j` at rank n + 1 - j, `a_j^k = delta j! (n-k)! / ((j-k)! n!)`,
          k = n // 2, `a_j = 0` for j < k; the strongest at small p. Of two sides, each
          has delta / 2;
        * "dkw": `p + sqrt(log(2 / delta) / 2n)`, of both sides at once.

        `key`, a seed: p is uniform on (0, 1], a place among the scores that are equal
        drawn at random: `(#{calibration < score} + u (#{equal} + 1)) / (n + 1)`. Other
        calls with one key have the same draws. Of two sides, `2 min(p, 1 - p)`.

        Source: Bates, Candes, Lei, Romano and Sesia 2023, sections 2 and 3.

        Raises TypeError or ValueError as `check_scores` does; ValueError for options
        that do not go together, delta outside (0, 1), and fewer than 20 calibration
        scores with `conditional`.
        """
        scores = check_scores("scores", scores)
        if conditional is None:
            if key is None:
                p = self._sides * self._ranks(scores) / self._ends
                return np.minimum(1.0, p)
            return self._randomised(scores, key)
        if key is not None:
            raise ValueError(
                "key draws p-values that are exactly uniform on average, conditional "
                "makes larger ones: give one of the two"
            )
        return self._conditional(self._ranks(scores), conditional, delta)

    def threshold(self, alpha: float) -> float:
        """Rejecting scores strictly beyond it is `p <= alpha`; one-sided.

        Of "low", reject below: -inf where n is too small for any p-value of alpha, with
        a warning. Of "high", above; +inf. Raises ValueError for alpha outside (0, 1),
        and of two sides, which have `thresholds`.
        """
        if self.side == "two":
            raise ValueError(
                'a calibration of side "two" has two thresholds: thresholds(alpha)'
            )
        warn_of_few(alpha, len(self), "the threshold is infinite and rejects nothing")
        return self._limits(alpha)[self.side == "high"]

    def thresholds(self, alpha: float) -> tuple[float, float]:
        """Rejecting `score < low or score > high` is `p <= alpha`, of any side.

        -inf and inf on a side that is not tested, and as for `threshold`.
        """
        consequence = "the thresholds are infinite and reject nothing"
        warn_of_few(alpha, len(self), consequence, self._sides)
        return self._limits(alpha)

    def false_alarms(self, alpha: float, level: float = 0.95) -> Estimate:
        """The rate of false alarms of `p <= alpha`: k / (n + 1), and where it may lie.

        Over calibration sets, the rate of in-distribution scores without ties is of
        the law Beta(k, n + 1 - k), k = floor(alpha (n + 1)); its central share of
        `level` is the interval. Of two sides, k is twice floor(alpha (n + 1) / 2).
        Ties make false alarms fewer. Source: Vovk 2012, section 2.
        """
        check_level(level)
        k, ends = self._sides * self._rank(alpha), self._ends
        if k in (0, ends):
            return Estimate(k / ends, k / ends, k / ends)
        from scipy.special import betaincinv

        low, high = betaincinv(k, ends - k, [(1 - level) / 2, (1 + level) / 2]).tolist()
        return Estimate(k / ends, min(low, k / ends), max(high, k / ends))

    @property
    def _sides(self) -> int:
        return 2 if self.side == "two" else 1

    @property
    def _ends(self) -> int:
        return len(self) + 1

    def _rank(self, alpha: float) -> int:
        """The largest rank on each side whose p-value is at most alpha."""
        return largest_rank(alpha, len(self), self._sides)

    def _ranks(self, scores: np.ndarray) -> np.ndarray:
        """Integers in 1 ... n + 1; of two sides, those of the smaller."""
        if self.side == "low":
            return low_ranks(scores, self.scores)
        high = high_ranks(scores, self.scores)
        if self.side == "high":
            return high
        return np.minimum(high, low_ranks(scores, self.scores))

    def _limits(self, alpha: float) -> tuple[float, float]:
        k = self._rank(alpha)
        low, high = -np.inf, np.inf
        if k and self.side != "high":
            low = float(self.scores[k - 1])
        if k and self.side != "low":
            high = float(self.scores[-k])
        return low, high

    def _randomised(self, scores: np.ndarray, key: int) -> np.ndarray:
        below = np.searchsorted(self.scores, scores, side="left")
        up_to = np.searchsorted(self.scores, scores, side="right")
        # in the middle of 2^52 equal parts of (0, 1): neither u nor 1 - u is 0
        draws = np.random.default_rng(key).integers(2**52, size=len(scores))
        u = (draws + 0.5) / 2**52
        low = (below + u * (up_to - below + 1)) / self._ends
        high = (len(self) - up_to + (1 - u) * (up_to - below + 1)) / self._ends
        if self.side == "two":
            return np.minimum(1.0, 2 * np.minimum(low, high))
        return low if self.side == "low" else high

    def _conditional(self, ranks, conditional, delta: float) -> np.ndarray:
        if conditional not in ("simes", "dkw"):
            raise ValueError(
                f'conditional must be "simes", "dkw" or None, got {conditional!r}'
            )
        if conditional == "dkw":
            check_conditional(len(self), delta)
            p = ranks / self._ends + np.sqrt(np.log(2 / delta) / (2 * len(self)))
        else:
            # two sides fail with probability delta together
            p = simes(len(self), delta, self._sides)[ranks - 1]
        return np.minimum(1.0, self._sides * p)


class Scorer(Protocol):
    """What a calibration is of: a fitted detector, or another that scores inputs."""

    @property
    def name(self) -> str: ...

    def score(self, x, batch_size: int = 250) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A fitted detector and its calibration: `fitted.calibrated(images)`."""

    detector: Scorer
    calibration: Calibration

    def score(self, x, batch_size: int = 250) -> np.ndarray:
        """Score inputs `[N, ...]`: `[N]`, as the detector does."""
        return self.detector.score(x, batch_size)

    def p_values(
        self,
        x,
        conditional: Conditional | None = None,
        delta: float = 0.1,
        key: int | None = None,
        batch_size: int = 250,
    ) -> np.ndarray:
        """p-values of inputs `[N, ...]`: float64 `[N]`, see `Calibration.p_values`."""
        scores = self.score(x, batch_size)
        return self.calibration.p_values(scores, conditional, delta, key)

    def reject(
        self,
        x,
        level: float = 0.1,
        control: Control = "each",
        conditional: Conditional | None = None,
        delta: float = 0.1,
        batch_size: int = 250,
    ) -> Rejections:
        """Reject inputs as out-of-distribution: see `ood.reject`.

        "fdr" by marginal p-values holds, though they share one calibration set (Bates
        et al. 2023, theorem 2). Warns where no p-value is as small as `level`.
        """
        p = self.p_values(x, conditional, delta, batch_size=batch_size)
        rejections = reject(p, level, control)
        self.calibration.thresholds(level)  # warns of too few scores
        return rejections


def simes(n: int, delta: float, sides: int = 1) -> np.ndarray:
    """p-values of the ranks 1 ... n + 1, for nearly all calibration sets: `[n + 1]`.

    They are `1 - a_j` of `Calibration.p_values`, at delta / sides. Raises ValueError
    for n below 20 and delta outside (0, 1).
    """
    check_conditional(n, delta)
    k = n // 2
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    j = np.arange(k, n + 1)
    falling = log_factorials[j] - log_factorials[j - k]
    log_a = np.full(n + 1, -np.inf)
    log_a[k:] = (np.log(delta / sides) + falling - falling[-1]) / k
    # rank n + 1 - j has j calibration scores beyond it
    return -np.expm1(log_a[::-1])


def check_conditional(n: int, delta: float) -> None:
    """Raise ValueError for too few calibration scores, and delta outside (0, 1)."""
    if not 0 < delta < 1:
        raise ValueError(
            f"delta must lie strictly between 0 and 1, got {delta!r}: with 0.1, nine "
            "calibration sets of ten hold what is promised"
        )
    if n < LEAST_CALIBRATED:
        raise ValueError(
            f"p-values for nearly all calibration sets need {LEAST_CALIBRATED} "
            f"calibration scores, got {n}"
        )

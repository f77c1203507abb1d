"""Several scores of one pass as one: ranked by calibration images, then combined."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from flowjax_ood.ood.flows.outputs import FlowOutputs, ScoredFlow
from flowjax_ood.ood.flows.score import (
    FittedScore,
    FlowScore,
    Score,
    calibration,
    shared_passes,
)
from flowjax_ood.ood.given import Given, Requires
from flowjax_ood.ood.p_values import COMBINATIONS, high_p, low_p, two_sided_p
from flowjax_ood.ood.settings import OneOf, ranges_of

# calibration images: half of them rank, of those 100 the least p-value is 1 / 101
LEAST_CALIBRATED = 200
# added to the variances of normal scores, which are near 1: statistics that are almost
# one another would divide by almost nothing
RIDGE = 1e-3
# p-values are to reach it: `LEAST_CALIBRATED` images are enough for that, if none tie
ALARMS = 0.01
# in the warning where p-values do not reach it
TIE = "tie at the lowest score"
# p-value that counts in Cauchy's mean at most: at 1 its tangent is minus infinity
LARGEST = 0.9

Method = Literal[
    "rank_gauss", "bonferroni", "fisher", "cauchy", "harmonic", "max_quantile"
]


@dataclass(frozen=True)
class Combined(FlowScore):
    """One score of several, all of the same forward pass; fitted, with p-values.

    Calibration images are cut in two at random, by `given.seed`. The first half ranks
    every score; the second calibrates the combination, so its p-value is valid whatever
    the scores' dependence. Only ranks count: an increasing map of a score changes
    nothing. Scores that are fitted to calibration images see the first half alone.

    `method`:

    * "rank_gauss": `-(y - m)' C^-1 (y - m)`, `y_j = Phi^-1(F_j)`, F_j the rank of score
      j in (0, 1), cut at 1 / (n + 1); m and C are the mean and covariance of the first
      half, 1e-3 added to the variances. Both sides of every score tell;
    * "bonferroni", "fisher", "cauchy", "harmonic": the least of p-values, minus
      `-2 sum_j log p_j`, minus `mean_j tan((1/2 - p_j) pi)`, the harmonic mean. They
      are two-sided with each score's `low_share`; those above 0.9 are 0.9 in "cauchy",
      or one score that is as typical as can be would outweigh all others. Calibration
      takes the place of the laws and factors in `ood.combine_p`;
    * "max_quantile": `-max_j G_j`, G_j the share of the first half with a score at
      least as high: low scores alone tell, as in `SITN`.

    The least of p-values, and the largest quantile, have a floor: images that are
    beyond all of the first half by one score tie. Where so many of the second half do
    that no p-value is 0.01 or less, there is a warning; `FittedCombined.least_p` says
    how small p-values can be.

    A score that is constant in the first half is left out, with a warning. Raises
    ValueError for fewer than 200 calibration images, for calibration images that are
    reference images as well, and where no score is left.
    """

    scores: tuple[FlowScore, ...]
    method: Method = "rank_gauss"
    label: str = ""
    ranges: ClassVar = ranges_of(
        method=OneOf(("rank_gauss", *COMBINATIONS, "max_quantile"))
    )

    def __post_init__(self):
        super().__post_init__()
        several = isinstance(self.scores, tuple) and self.scores
        if not several or not all(isinstance(s, FlowScore) for s in self.scores):
            raise TypeError(
                "Combined takes a tuple of one or more scores of a flow, got "
                f"{self.scores!r}"
            )
        names = [s.name for s in self.scores]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"Combined: two scores are called {', '.join(twice)}; give one a label"
            )

    @property
    def name(self) -> str:
        return self.label or f"{len(self.scores)} scores by {self.method}"

    @property
    def requires(self) -> Requires:
        needs = [vars(s.requires) for s in self.scores]
        union = {name: any(n[name] for n in needs) for name in needs[0]}
        return Requires(**(union | {"id_validation": True}))

    @property
    def passes(self) -> float:
        return shared_passes(self.scores)

    @property
    def of_images(self) -> bool:
        return any(s.of_images for s in self.scores)

    def calibration_rows(self, count: int, seed: int = 0) -> np.ndarray:
        """The second half: scores of the first are of images that were fitted to."""
        return halves(count, seed)[1]

    def prepared(self, network: ScoredFlow, given: Given) -> Score:
        return self._combination(network, given).statistic

    def fit(self, network: ScoredFlow, given: Given | None = None) -> "FittedCombined":
        """Fit to a flow and data. Raises as the scores do, and as said above."""
        given = Given() if given is None else given
        self.check(network, given)
        found = self._combination(network, given)
        if found.least_p > ALARMS:
            warnings.warn(
                f"{self.name}: {found.at_floor} of {len(found.calibrated)} calibration "
                f"images {TIE} that there is, so no p-value is below "
                f"{found.least_p:.2g}, and none an alarm at {ALARMS:g}: give more "
                "calibration images or fewer scores, or combine by rank_gauss",
                stacklevel=2,
            )
        return FittedCombined(
            self.name,
            self.requires,
            network,
            found.statistic,
            chosen={"scores": found.names},
            combination=found,
        )

    def _combination(self, network: ScoredFlow, given: Given) -> "Combination":
        held_out = calibration(given, LEAST_CALIBRATED, self.name)
        # one for all combinations of these data: scores share what they compute
        first, second = given.once(
            (Combined, "halves"),
            lambda: [held_out.rows(at) for at in halves(len(held_out), given.seed)],
        )
        inner = given.once(
            (Combined, "first half"), lambda: replace(given, id_validation=first)
        )
        parts = []
        for score in self.scores:
            # of one that calibration is nothing to, there is one fit for all
            own = inner if score.requires.id_validation else given
            fitted = score.fit_once(network, own)
            ranked = fitted.score_once(first)
            if ranked.max() == ranked.min():
                warnings.warn(
                    f"{self.name}: {score.name} is {ranked[0]:.6g} for all images that "
                    "rank it and is left out",
                    stacklevel=4,
                )
                continue
            parts.append(_Part(fitted, ranked, score.low_share))
        if not parts:
            raise ValueError(f"{self.name}: every score is constant on calibration")
        return Combination.of(tuple(parts), self.method, second)


def halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that rank and rows that calibrate, cut at random, each in order."""
    order = np.random.default_rng(seed).permutation(count)
    first, second = map(np.sort, np.array_split(order, 2))
    return first, second


class _Part:
    """A fitted score, and its values on the images that rank it."""

    def __init__(self, fitted: FittedScore, ranked: np.ndarray, low_share: float):
        self.fitted, self.ranked, self.low_share = fitted, ranked, low_share
        self.ordered = np.sort(ranked)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        return two_sided_p(scores, self.ranked, self.low_share)

    def normal(self, scores: np.ndarray) -> np.ndarray:
        """`Phi^-1` of ranks in (0, 1); a tie has the middle of its ranks."""
        from scipy.special import ndtri

        below = np.searchsorted(self.ordered, scores, side="left")
        up_to = np.searchsorted(self.ordered, scores, side="right")
        least = 1 / (len(self.ordered) + 1)
        return ndtri(np.clip((below + up_to + 1) / 2 * least, least, 1 - least))

    def share_above(self, scores: np.ndarray) -> np.ndarray:
        count = len(self.ordered)
        return high_p(scores, self.ranked) * (count + 1) / count - 1 / count


@dataclass(frozen=True, eq=False)
class Combination:
    """Scores ranked by one half of calibration, and the statistic on the other."""

    parts: tuple[_Part, ...]
    combine: Callable[[tuple[_Part, ...], list[np.ndarray]], np.ndarray]
    calibrated: np.ndarray = field(repr=False)
    floor: float = -np.inf

    @classmethod
    def of(cls, parts, method: str, second: FlowOutputs) -> "Combination":
        combine = _METHODS[method](parts, method)
        found = cls(parts, combine, np.zeros(0), _floor(parts, method))
        return replace(found, calibrated=found.statistic(second))

    @property
    def at_floor(self) -> int:
        """How many calibration images are as far as the statistic can tell."""
        return int(np.sum(self.calibrated <= self.floor))

    @property
    def least_p(self) -> float:
        """The least p-value that an image can have."""
        return (1 + self.at_floor) / (len(self.calibrated) + 1)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.fitted.name for part in self.parts)

    def values(self, outputs: FlowOutputs) -> list[np.ndarray]:
        return [part.fitted.score_once(outputs) for part in self.parts]

    def statistic(self, outputs: FlowOutputs) -> np.ndarray:
        """Higher is more in-distribution: `[N]`."""
        return self.combine(self.parts, self.values(outputs))


def _rank_gauss(parts, method):
    y = np.stack([part.normal(part.ranked) for part in parts], 1)
    mean = y.mean(0)
    covariance = (y - mean).T @ (y - mean) / len(y) + RIDGE * np.eye(len(parts))
    root = np.linalg.cholesky(np.linalg.inv(covariance))

    def combine(parts, values):
        y = np.stack([p.normal(v) for p, v in zip(parts, values, strict=True)], 1)
        return -(((y - mean) @ root) ** 2).sum(1)

    return combine


# of p-values [N, J], larger is more in-distribution; without the laws and cuts at 1 of
# `combine_p`, by which typical or far images would tie
_OF_P_VALUES = {
    "bonferroni": lambda p: p.min(1),
    "fisher": lambda p: 2 * np.log(p).sum(1),
    "cauchy": lambda p: -np.tan((0.5 - np.minimum(p, LARGEST)) * np.pi).mean(1),
    "harmonic": lambda p: 1 / (1 / p).mean(1),
}


def _of_p_values(parts, method):
    def combine(parts, values):
        p = [part.p_values(v) for part, v in zip(parts, values, strict=True)]
        return _OF_P_VALUES[method](np.stack(p, 1))

    return combine


def _max_quantile(parts, method):
    def combine(parts, values):
        shares = [part.share_above(v) for part, v in zip(parts, values, strict=True)]
        return -np.max(shares, 0)

    return combine


_METHODS = {
    "rank_gauss": _rank_gauss,
    **dict.fromkeys(_OF_P_VALUES, _of_p_values),
    "max_quantile": _max_quantile,
}


def _floor(parts, method: str) -> float:
    """The statistic of images that the first half has none like, by every score."""
    if method == "max_quantile":
        return -max(float(p.share_above(p.ordered[:1])[0]) for p in parts)
    if method not in _OF_P_VALUES:
        return -np.inf
    least = [1 / (len(p.ranked) + 1) / max(p.low_share, 1 - p.low_share) for p in parts]
    return float(_OF_P_VALUES[method](np.array([least]))[0])


@dataclass(frozen=True, eq=False)
class FittedCombined(FittedScore):
    """A fitted combination: `score`, and p-values of it and of each of its scores.

    `chosen["scores"]` has the names of the scores that take part.
    """

    combination: Combination = field(kw_only=True, repr=False)

    def p_values(self, x, batch_size: int = 250) -> np.ndarray:
        """p-values of images or of `FlowOutputs`, by the second half: float64 `[N]`.

        In-distribution, each is below u with probability at most u.
        """
        outputs = self._outputs(x, batch_size)
        return low_p(self.score_outputs(outputs), self.combination.calibrated)

    @property
    def least_p(self) -> float:
        """The least p-value of all images: `1 / (n + 1)`, or more with a floor."""
        return self.combination.least_p

    def explain(self, x, batch_size: int = 250) -> dict[str, np.ndarray]:
        """Which score spoke: the p-value of each, by the first half, `{name: [N]}`.

        Two-sided with the score's `low_share`, whatever the method.
        """
        values = self.combination.values(self._outputs(x, batch_size))
        parts = self.combination.parts
        return {
            part.fitted.name: part.p_values(v)
            for part, v in zip(parts, values, strict=True)
        }

    def _outputs(self, x, batch_size: int) -> FlowOutputs:
        if isinstance(x, FlowOutputs):
            return x
        return self.network.collect(x, batch_size)

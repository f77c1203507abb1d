"""p-values by normal scores, some of which may be of copies."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowjax_ood.data.checks import row_digests
from flowjax_ood.ood.calibration import Calibration
from flowjax_ood.ood.intervals import Estimate

# scores of one image differ by this share at most between machines, numbers of devices
# and the exported program; a score that much above another counts as equal to it
TOLERANCE = 1e-4
# to calibrate by: those that a stream is compared with, and those that are no copies
LEAST_CALIBRATED, LEAST_DISTINCT = 20, 19


@dataclass(frozen=True, eq=False)
class NormalScores:
    """Scores `[c]` of normal vectors that calibrate, and which of them are `repeated`.

    Repeated are those of vectors that are among those fitted to, or among the ones
    before. Where new vectors repeat as normally (blank scans), p-values are by all;
    where copies were made by accident, by the others: so the larger p-value of both is
    valid in either case.

    Raises ValueError for fewer than 20 scores, or 19 that are not repeated.
    """

    scores: np.ndarray
    repeated: np.ndarray

    def __post_init__(self):
        distinct = int((~self.repeated).sum())
        if len(self.scores) < LEAST_CALIBRATED or distinct < LEAST_DISTINCT:
            raise ValueError(
                f"{len(self.scores)} examples calibrate, {distinct} of which are no "
                f"copies of others; it takes {LEAST_CALIBRATED}, "
                f"{LEAST_DISTINCT} of which are none: give more"
            )

    @cached_property
    def of_all(self) -> Calibration:
        return Calibration.fit(self.scores)

    @cached_property
    def of_distinct(self) -> Calibration:
        return Calibration.fit(self.scores[~self.repeated])

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """The share of normal scores that are as low: float64 `[N]`."""
        scores = with_tolerance(np.asarray(scores, np.float64))
        return np.maximum(
            self.of_all.p_values(scores), self.of_distinct.p_values(scores)
        )

    @property
    def least_p(self) -> float:
        return self.of_distinct.least_p

    def false_alarms(self, alpha: float) -> Estimate:
        """The rate of p <= alpha among normal vectors, with its 95 % interval."""
        return self.of_distinct.false_alarms(alpha)


def with_tolerance(scores):
    """Raise scores by `TOLERANCE` of their size; of NumPy or JAX arrays."""
    return scores + TOLERANCE * abs(scores)


def find_repeated(x: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Which rows `[c]` are among those of `x`, or among the rows before them."""
    seen = set(row_digests(x))
    repeated = np.zeros(len(held_out), bool)
    for number, digest in enumerate(row_digests(held_out)):
        repeated[number] = digest in seen
        seen.add(digest)
    return repeated

"""Split in-distribution images among a flow, its scores, their calibration, a test."""

from typing import NamedTuple

import numpy as np

from flowjax_ood.data.checks import integer
from flowjax_ood.data.random import permutation

# sets the randomness of this choice apart
WORD = "battery splits"
SHARE = 5  # a fifth of the images
MOST = 3000


class BatterySplits(NamedTuple):
    """Rows of a set, int64 and ascending; no row is in two of them.

    `flow` trains the flow, `fit` fits scores, `calibrate` turns them into p-values, and
    `test` is looked at last.
    """

    flow: np.ndarray
    fit: np.ndarray
    calibrate: np.ndarray
    test: np.ndarray


def battery_splits(count: int, seed: int, test: int = 0) -> BatterySplits:
    """Draw disjoint rows of `0 ... count - 1`.

    Args:
        count: number of images, at least 5 besides the `test`.
        seed: not negative; the rows follow from it and the numbers.
        test: how many are put aside for testing; 0 where there is a set for that.

    Returns:
        Of what is left, a fifth to `fit` and a fifth to `calibrate`, but at most 3,000
        each, and all others to the `flow`: of 10,000, 6,000, 2,000 and 2,000; of
        60,000, 54,000, 3,000 and 3,000.

    Raises:
        ValueError: too few images, or a negative number.
    """
    seed = integer("seed", seed, least=0)
    test = integer("test", test, least=0)
    count = integer("count", count, least=test + SHARE, remedy=": take less to test")
    each = min((count - test) // SHARE, MOST)
    order = permutation(count, seed, WORD)
    ends = np.cumsum([test, each, each])
    tested, calibrate, fit, flow = map(np.sort, np.split(order, ends))
    return BatterySplits(flow, fit, calibrate, tested)

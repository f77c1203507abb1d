"""One test of a window of scores or features against calibration, by permutations."""

from typing import Literal, NamedTuple

import numpy as np

from flowjax_ood.arguments import whole_number
from flowjax_ood.ood.thresholds import check_scores

# examples in a window, and permutations: with fewer, no p-value is of use
LEAST_EXAMPLES, LEAST_PERMUTATIONS = 8, 19
# examples of both sets together whose kernel is made: a matrix of 200 MB
MOST_COMPARED = 5000
# numbers of an array of permutations at a time: 32 MiB
AT_ONCE = 2**22
# statistics that differ by less, as a share of the largest there can be, are equal
ROUNDING = 1e-10


class Shift(NamedTuple):
    """The p-value of no shift, and the statistic: larger, more shifted."""

    p: float
    statistic: float


def shift_test(
    calibration_scores,
    window,
    by: Literal["ks", "mean", "mmd"] = "ks",
    permutations: int = 999,
    seed: int = 0,
) -> Shift:
    """`P(p <= t) <= t` if all examples of both sets are exchangeable: two-sided.

    `p = (1 + #{permuted statistic >= statistic}) / (permutations + 1)`, permutations of
    which examples are the window's. One look: of many windows, `DriftMonitor`, or
    `reject` their p-values together.

    `by`:

    * "ks": `sup |F - G|` of the distribution functions, of ranks alone;
    * "mean": `|mean - mean|`, in units of the scores;
    * "mmd": `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`, `k = exp(-|x - y|^2 / 2
      s^2)`, s the median distance of all pairs; also of features `[n, d]`. Source:
      Gretton, Borgwardt, Rasch, Scholkopf and Smola 2012, section 2.

    Args:
        calibration_scores: `[n]` in-distribution, n >= 8; for "mmd" also `[n, d]`.
        window: `[m]` or `[m, d]`, m >= 8.
        by: the statistic.
        permutations: at least 19, for p-values of 0.05.
        seed: of the permutations.

    Raises:
        TypeError: scores that are no real numbers.
        ValueError: NaN; infinity, unless by "ks"; fewer examples or permutations; other
            shapes; more than 5,000 examples by "mmd"; another `by`.
    """
    if by not in _STATISTICS:
        raise ValueError(f"by must be one of {', '.join(_STATISTICS)}, got {by!r}")
    remedy = ": the least p-value is 1 / (permutations + 1)"
    permutations = whole_number(
        "permutations", permutations, LEAST_PERMUTATIONS, remedy
    )
    known = _examples("calibration_scores", calibration_scores, by)
    new = _examples("window", window, by)
    if known.shape[1:] != new.shape[1:]:
        raise ValueError(
            f"window of shape {new.shape} does not go with calibration of shape "
            f"{known.shape}"
        )
    statistic, most = _STATISTICS[by](np.concatenate([known, new]), len(new))
    total = len(known) + len(new)
    in_window = np.arange(total) >= len(known)
    found = float(statistic(in_window[None])[0])
    rng = np.random.default_rng(seed)
    at_least, rows = 0, max(1, AT_ONCE // total)
    for start in range(0, permutations, rows):
        count = min(rows, permutations - start)
        drawn = rng.permuted(np.tile(in_window, (count, 1)), axis=1)
        at_least += int((statistic(drawn) >= found - ROUNDING * most).sum())
    return Shift((1 + at_least) / (permutations + 1), found)


def _examples(name: str, x, by: str) -> np.ndarray:
    if by == "mmd" and np.ndim(x) == 2:
        x = np.asarray(x, np.float64)
    else:
        x = check_scores(name, x)
    if len(x) < LEAST_EXAMPLES:
        raise ValueError(f"{name} needs {LEAST_EXAMPLES} examples, got {len(x)}")
    if by != "ks" and not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0, 0])
        raise ValueError(
            f'{name}[{row}] is not finite: leave it out, or use by="ks", of ranks alone'
        )
    return x


def _ks(pooled: np.ndarray, m: int):
    order = np.argsort(pooled, kind="stable")
    ordered = pooled[order]
    # both functions are compared at the last of each run of ties
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    n = len(pooled) - m

    def statistic(in_window):
        up_to = np.cumsum(in_window[:, order], 1)[:, ends]
        # in integers, so that ties of the statistic are exact
        return np.abs(up_to * n - (ends + 1 - up_to) * m).max(1) / (n * m)

    return statistic, 1.0


def _mean(pooled: np.ndarray, m: int):
    # equal scores become 0
    x = pooled - np.median(pooled)
    n, total = len(pooled) - m, x.sum()

    def statistic(in_window):
        of_window = in_window @ x
        return np.abs(of_window / m - (total - of_window) / n)

    return statistic, float(np.abs(x).max())


def _mmd(pooled: np.ndarray, m: int):
    if len(pooled) > MOST_COMPARED:
        raise ValueError(
            f'by="mmd" compares all pairs of at most {MOST_COMPARED} examples, got '
            f"{len(pooled)}: draw fewer calibration examples"
        )
    x = pooled.reshape(len(pooled), -1)
    x = x - np.median(x, axis=0)
    norms = (x**2).sum(1)
    squares = norms[:, None] + norms - 2 * x @ x.T
    # equal examples are 0 apart, whatever was rounded
    squares[squares < 1e-12 * norms.max()] = 0
    pairs = squares[np.triu_indices(len(x), 1)]
    scale = np.median(pairs)
    if scale == 0:  # most are equal: the median of those that are not
        scale = np.median(pairs[pairs > 0]) if pairs.any() else 1.0
    kernel = np.exp(-squares / (2 * scale))
    n = len(pooled) - m

    def statistic(in_window):
        weights = np.where(in_window, 1 / m, -1 / n)
        return ((weights @ kernel) * weights).sum(1)

    return statistic, 1.0


_STATISTICS = {"ks": _ks, "mean": _mean, "mmd": _mmd}

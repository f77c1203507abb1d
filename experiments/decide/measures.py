"""A detector's row: rates of decisions, over splits of in-distribution scores."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.core.kept_scores import KeptScores
from flowjax_ood import ood
from flowjax_ood.ood.calibration import LEAST_CALIBRATED, simes

ALPHAS = (0.01, 0.05)
# of which the share found is given
FOUND = 0.05
# a batch, its outliers, and the share of false alarms among its rejections
BATCH, OUTLIERS, LEVEL = 200, 20, 0.1
# share of calibration sets that conditional p-values may fail for
DELTA = 0.1


# sizes of calibration sets whose false alarms are listed
SIZES = (200, 2000, 20_000)


class Split(NamedTuple):
    """Rows of the in-distribution set that calibrate, and rows that test."""

    calibrate: np.ndarray
    test: np.ndarray


def calibration_sizes() -> list[dict]:
    """What each alpha takes, by arithmetic: no data.

    `least` scores have a p-value of alpha, `least_conditional` a conditional one;
    `intervals {n: [low, high]}` hold the false alarms of 95 % of calibration sets.
    """
    found = []
    for alpha in (0.05, 0.01, 0.001):
        limit = alpha * (1 + 1e-12)
        sizes = itertools.count(LEAST_CALIBRATED)
        least = next(n for n in sizes if simes(n, DELTA)[0] <= limit)
        intervals = {}
        for n in SIZES:
            if n + 1 >= 1 / alpha:
                promised = ood.Calibration.fit(np.arange(n)).false_alarms(alpha)
                intervals[str(n)] = [promised.low, promised.high]
        found.append(
            {
                "alpha": alpha,
                "least": round(1 / alpha) - 1,
                "least_conditional": least,
                "intervals": intervals,
            }
        )
    return found


def splits(
    count: int, calibrate: int, test: int, number: int, seed: int
) -> list[Split]:
    """Draw splits of `count` rows, at most half of them to calibrate on."""
    calibrate = min(calibrate, count // 2)
    rng = np.random.default_rng(seed)
    drawn = (rng.permutation(count) for _ in range(number))
    return [Split(d[:calibrate], d[calibrate:][:test]) for d in drawn]


def row(
    name: str, kept: KeptScores, drawn: Sequence[Split], batches: int, seed: int
) -> dict:
    """Measure a detector; all detectors see the same splits and batches."""
    scores = kept.detectors[name]
    own = scores[kept.id_name]
    calibrated = [ood.Calibration.fit(own[s.calibrate]) for s in drawn]
    p = [c.p_values(own[s.test]) for c, s in zip(calibrated, drawn)]
    outliers = [n for n in kept.outliers if n in scores]
    found = {n: _found(calibrated, scores[n]) for n in outliers}
    measured: dict[str, Any] = {
        "name": name,
        "auroc": {n: ood.auroc(own, scores[n]).value for n in outliers},
        "false_alarms": {f"{a:g}": _false_alarms(calibrated, p, a) for a in ALPHAS},
        "found": found,
        "batches": {},
        "corrupted": {},
    }
    for n in outliers:
        measured["batches"][n] = _batches(
            own, scores[n], drawn, calibrated, batches, seed
        )
    for n in kept.corrupted(name):
        measured["corrupted"][n] = _corrupted(own, scores[n], drawn)
    if kept.training in scores:
        measured["training"] = _by_training(own, scores[kept.training])
    if kept.labels is not None:
        measured["by_class"] = _by_class(p, drawn, kept.labels)
    return measured


def _found(calibrated: Sequence[ood.Calibration], scores: np.ndarray) -> float:
    return float(np.mean([(c.p_values(scores) <= FOUND).mean() for c in calibrated]))


def _false_alarms(calibrated, p, alpha: float) -> dict:
    """Realised rates, and where a split's lies: of all images, and of those tested.

    `interval` is of the rate over all images to come, which depends on the calibration
    scores; a rate of few tested images scatters more, `interval_tested`: 95 % of a
    beta-binomial law.
    """
    from scipy.stats import betabinom

    rates = [float((values <= alpha).mean()) for values in p]
    first, tested = calibrated[0], len(p[0])
    promised = first.false_alarms(alpha)
    k = round(promised.value * (len(first) + 1))
    ends = [promised.value] * 2
    if k:
        law = betabinom(tested, k, len(first) + 1 - k)
        ends = [float(law.ppf(q) / tested) for q in (0.025, 0.975)]
    return {
        "mean": float(np.mean(rates)),
        "per_split": rates,
        "promised": promised.value,
        "interval": [promised.low, promised.high],
        "interval_tested": ends,
    }


def _batches(own, other, drawn, calibrated, batches: int, seed: int) -> dict:
    """FDR and power of BH, by marginal and by conditional p-values."""
    rng = np.random.default_rng(seed)
    count = min(OUTLIERS, len(other))
    is_outlier = np.arange(BATCH) < count
    shares: dict[str, list] = {"marginal": [], "conditional": []}
    for split, calibration in zip(drawn, calibrated):
        outside = _rows(rng, len(other), batches, count)
        inside = split.test[_rows(rng, len(split.test), batches, BATCH - count)]
        scores = np.concatenate([other[outside], own[inside]], 1)
        for how, of in shares.items():
            conditional = "simes" if how == "conditional" else None
            p = calibration.p_values(scores.ravel(), conditional, DELTA)
            rejected = benjamini_hochberg(p.reshape(scores.shape), LEVEL)
            false = (rejected & ~is_outlier).sum(1)
            fdp = false / np.maximum(1, rejected.sum(1))
            of.append((fdp.mean(), rejected[:, is_outlier].mean()))
    return {how: _means(of) for how, of in shares.items()}


def _means(shares: list[tuple[float, float]]) -> dict:
    """Means over splits; the standard error of FDR is None of a single one."""
    fdr, power = np.transpose(shares)
    error = float(fdr.std(ddof=1) / np.sqrt(len(fdr))) if len(fdr) > 1 else None
    means = {"fdr": float(fdr.mean()), "power": float(power.mean())}
    return means | {"fdr_standard_error": error}


def benjamini_hochberg(p: np.ndarray, level: float) -> np.ndarray:
    """`ood.reject(..., "fdr")` of many batches of p-values, `[B, m]` each at once."""
    m = p.shape[1]
    ordered = np.sort(p, 1)
    # as there: equal up to rounding is at most
    good = ordered * m <= level * np.arange(1, m + 1) * (1 + 1e-12)
    last = m - 1 - np.argmax(good[:, ::-1], 1)
    limits = np.where(good.any(1), ordered[np.arange(len(p)), last], 0.0)
    return p <= limits[:, None]


def _rows(rng, count: int, batches: int, size: int) -> np.ndarray:
    """Draw rows `[batches, size]` of `count`; twice in a batch where they are few."""
    if size > count:
        return rng.integers(count, size=(batches, size))
    order = rng.permuted(np.tile(np.arange(count), (batches, 1)), axis=1)
    return order[:, :size]


def _by_training(own: np.ndarray, training: np.ndarray) -> dict:
    """False alarms of thresholds at quantiles of training scores."""
    rates = {f"{a:g}": float((own <= np.quantile(training, a)).mean()) for a in ALPHAS}
    return {"images": len(training), "false_alarms": rates}


def _by_class(p, drawn, labels: np.ndarray) -> list[float | None]:
    """False alarms at 0.05 of every class: what is promised is their mean."""
    alarms = np.concatenate([values <= FOUND for values in p])
    classes = np.concatenate([labels[s.test] for s in drawn])
    every = range(int(labels.max()) + 1)
    return [
        float(alarms[classes == c].mean()) if (classes == c).any() else None
        for c in every
    ]


def _corrupted(own: np.ndarray, copies: np.ndarray, drawn) -> float | None:
    """Alarms at 0.05 on corrupted copies of images that did not calibrate.

    None where every split calibrates by all images that have copies.
    """
    rates = []
    for split in drawn:
        rows = np.setdiff1d(np.arange(len(copies)), split.calibrate)
        if not len(rows):
            continue
        p = ood.Calibration.fit(own[split.calibrate]).p_values(copies[rows])
        rates.append((p <= FOUND).mean())
    return float(np.mean(rates)) if rates else None

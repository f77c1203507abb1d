"""results.json: the measures of a run, and all that is needed to understand them."""

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from flowjax_ood import ood
from flowjax_ood.data.standardize import Standardizer
from flowjax_ood.runtime.files import write_bytes

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# a set's outliers: this many times its median bits/dim and more
OUTLIER = 1.5
# units of log-likelihood, and the key of its mean: of images, and of vectors
UNITS = {"bits/dim": "bits_per_dim", "nats": "nats"}


def versions() -> dict:
    """Versions of the packages that computed the numbers, and the device."""
    import flowjax_ood

    device = jax.devices()[0]
    return {
        "flowjax_ood": flowjax_ood.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "device": f"{jax.device_count()} x {device.device_kind}",
        "processes": jax.process_count(),
        "platform": device.platform,
    }


def unit_of(results: dict) -> str:
    """The unit of a run's likelihoods, a key of `UNITS`."""
    return "nats" if "nats" in results else "bits/dim"


def likelihood_results(likelihoods: dict, id_name: str) -> dict:
    """Summarise `{set: Likelihoods}` of images: bits/dim, AUROC and more.

    Likelihood is the score, higher = more in-distribution. AUROC is P(likelihood of
    an ID image > that of an OOD image): below 0.5, the flow prefers the other set.

    An image whose likelihood is not finite (batch norm can blow up on rare inputs) is
    counted in `non_finite` and ranked as the least likely; the means of its set are
    None.
    """
    with np.errstate(invalid="ignore"):
        bits = {name: ll.bits_per_dim for name, ll in likelihoods.items()}
    known = {name: np.isfinite(b) for name, b in bits.items()}
    bits = {name: np.where(known[name], b, np.inf) for name, b in bits.items()}
    scale = {name: ll.dims * np.log(2) for name, ll in likelihoods.items()}
    return {
        "bits_per_dim": {n: mean(b) for n, b in bits.items()},
        "bits_per_dim_median": {n: finite(np.median(b)) for n, b in bits.items()},
        # log p(x) = log p(z) + logdet, both per dimension in bits
        "log_pz_bits": {n: mean(ll.log_pz / scale[n]) for n, ll in likelihoods.items()},
        "logdet_bits": {n: mean(ll.logdet / scale[n]) for n, ll in likelihoods.items()},
        "outlier_fraction": {
            n: float(np.mean(~known[n] | (b > OUTLIER * np.median(b))))
            for n, b in bits.items()
        },
        "non_finite": {n: int((~ok).sum()) for n, ok in known.items()},
        **ranking({n: -b for n, b in bits.items()}, id_name),
    }


def ranking(scores: dict[str, np.ndarray], id_name: str) -> dict:
    """Compute AUROC, AUPR and FPR at TPR 95 % of OOD sets from `{set: scores [N]}`.

    Scores are higher for more in-distribution; the ID set is the positive class.
    """
    names = ("auroc", "auroc_ci95", "aupr_id_positive", "fpr_at_tpr95_id_positive")
    results: dict[str, dict] = {name: {} for name in names}
    for name, other in scores.items():
        if name == id_name:
            continue
        area = ood.auroc(scores[id_name], other)
        results["auroc"][name] = area.value
        results["auroc_ci95"][name] = [area.low, area.high]
        aupr = ood.aupr(scores[id_name], other, positive="id")
        fpr = ood.fpr_at_tpr(scores[id_name], other, tpr=0.95, positive="id")
        results["aupr_id_positive"][name] = list(aupr)
        results["fpr_at_tpr95_id_positive"][name] = list(fpr)
    return results


def over_draws(draws: Sequence[dict]) -> dict:
    """Put the mean AUROC over all draws into the first draw's `likelihood_results`.

    The draws are of the dequantisation noise; with several, `auroc_per_draw` is `{set:
    [value a draw]}`, and `auroc_ci95` has the means of the intervals' ends: the
    interval is of the images, whose number more draws do not raise.
    """
    first, *others = draws
    if not others:
        return first
    per_draw = {n: [d["auroc"][n] for d in draws] for n in first["auroc"]}
    ends = {n: [d["auroc_ci95"][n] for d in draws] for n in first["auroc"]}
    return first | {
        "auroc": {n: float(np.mean(values)) for n, values in per_draw.items()},
        "auroc_ci95": {n: np.mean(e, axis=0).tolist() for n, e in ends.items()},
        "auroc_per_draw": per_draw,
    }


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest value, as columns `name`, `_min` and `_max`."""
    middle = float(np.median(values))
    return {
        name: middle,
        f"{name}_min": float(min(values)),
        f"{name}_max": float(max(values)),
    }


def mean(values: np.ndarray) -> float | None:
    """Average in float64; None where the mean is not finite."""
    # float64: float32 sums of thousands of images round
    with np.errstate(invalid="ignore"):
        return finite(np.mean(values, dtype=np.float64))


def intervals(results: dict) -> dict[str, tuple[float, float, float]]:
    """`{OOD set: (AUROC, low, high)}`, with the 95% intervals of the scored images."""
    ends = results["auroc_ci95"]
    return {name: (area, *ends[name]) for name, area in results["auroc"].items()}


def mean_std(values: Sequence) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1), None for that of a single value.

    Both are None where a value is: that of a run whose mean is not finite.
    """
    if None in values:
        return None, None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return float(np.mean(values)), std


def finite(value) -> float | None:
    """Make a number for JSON, which has no infinity: None stands for it."""
    return float(value) if np.isfinite(value) else None


def write_json(path: Path, content: dict) -> None:
    """Write in one step: a reader sees the old file or the new one."""
    write_bytes(path, json_bytes(content))


def json_bytes(content: dict) -> bytes:
    """The content of a JSON file."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def vector_results(likelihoods: dict, id_name: str, standardizer: Standardizer) -> dict:
    """Summarise `{set: Likelihoods}` of standardised vectors: nats, AUROC and more.

    `nats` are of the standardised vector, `nats_raw` of the vector as it came, without
    its constant features: the former plus `log |det|` of the standardisation, a
    constant, so that AUROC is that of both. None where PCA leaves dimensions out.

    A vector whose likelihood is not finite is counted in `non_finite` and ranked as
    the least likely; the means of its set are None.
    """
    # NaN and infinity either way: least likely, as a detector would have it
    nats = {
        name: np.where(np.isfinite(ll.log_prob), ll.log_prob, -np.inf)
        for name, ll in likelihoods.items()
    }
    means = {name: mean(values) for name, values in nats.items()}
    shift = standardizer.log_abs_det
    raw = {
        n: None if m is None or shift is None else m + shift for n, m in means.items()
    }
    return {
        "nats": means,
        "nats_median": {n: finite(np.median(v)) for n, v in nats.items()},
        "nats_raw": raw,
        # log p(x) = log p(z) + logdet
        "log_pz_nats": {n: mean(ll.log_pz) for n, ll in likelihoods.items()},
        "logdet_nats": {n: mean(ll.logdet) for n, ll in likelihoods.items()},
        "logdet_nats_range": {
            n: [finite(ll.logdet.min()), finite(ll.logdet.max())]
            for n, ll in likelihoods.items()
        },
        "non_finite": {n: int(np.isneginf(v).sum()) for n, v in nats.items()},
        **ranking(nats, id_name),
        "standardization": standardizer.describe(),
    }

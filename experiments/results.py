"""results.json: what a run found, with everything needed to place the numbers."""

import importlib.metadata
import json
import platform
from pathlib import Path

import jax
import numpy as np

from flowjax_ood import ood

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# a set's outliers: this many times its median bits/dim and more
OUTLIER = 1.5


def versions() -> dict:
    """Versions of what computed the numbers, and the device they came from."""
    import flowjax_ood

    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    device = jax.devices()[0]
    return {
        "flowjax_ood": flowjax_ood.__version__,
        "python": platform.python_version(),
        **found,
        "device": f"{jax.device_count()} x {device.device_kind}",
        "platform": device.platform,
    }


def likelihood_results(found: dict, id_name: str) -> dict:
    """bits/dim and AUROC from `{set: Likelihoods}`.

    Likelihood is the score, higher = more in-distribution. AUROC is P(likelihood of
    an ID image > that of an OOD image): below 0.5, the flow prefers the other set.

    An image whose likelihood is not finite (batch norm can blow up on rare inputs) is
    counted in `non_finite` and ranked as the least likely; the means of its set are
    None.
    """
    with np.errstate(invalid="ignore"):
        bits = {name: ll.bits_per_dim for name, ll in found.items()}
    finite = {name: np.isfinite(b) for name, b in bits.items()}
    bits = {name: np.where(finite[name], b, np.inf) for name, b in bits.items()}
    scale = {name: ll.dims * np.log(2) for name, ll in found.items()}
    results = {
        "bits_per_dim": {n: _mean(b) for n, b in bits.items()},
        "bits_per_dim_median": {n: _finite(np.median(b)) for n, b in bits.items()},
        # log p(x) = log p(z) + logdet, both per dimension in bits
        "log_pz_bits": {n: _mean(ll.log_pz / scale[n]) for n, ll in found.items()},
        "logdet_bits": {n: _mean(ll.logdet / scale[n]) for n, ll in found.items()},
        "outlier_fraction": {
            n: float(np.mean(~finite[n] | (b > OUTLIER * np.median(b))))
            for n, b in bits.items()
        },
        "non_finite": {n: int((~ok).sum()) for n, ok in finite.items()},
    }
    for name in ("auroc", "auroc_ci95", "aupr_id_positive", "fpr_at_tpr95_id_positive"):
        results[name] = {}
    for name, other in bits.items():
        if name == id_name:
            continue
        area = ood.auroc(-bits[id_name], -other)
        results["auroc"][name] = area.value
        results["auroc_ci95"][name] = [area.low, area.high]
        aupr = ood.aupr(-bits[id_name], -other, positive="id")
        fpr = ood.fpr_at_tpr(-bits[id_name], -other, tpr=0.95, positive="id")
        results["aupr_id_positive"][name] = list(aupr)
        results["fpr_at_tpr95_id_positive"][name] = list(fpr)
    return results


def _mean(values: np.ndarray) -> float | None:
    # float64: float32 sums of thousands of images round
    with np.errstate(invalid="ignore"):
        return _finite(np.mean(values, dtype=np.float64))


def _finite(value) -> float | None:
    """JSON has no infinity."""
    return float(value) if np.isfinite(value) else None


def write_json(path: Path, content: dict) -> None:
    """Write in one step: a reader finds the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    temporary.replace(path)

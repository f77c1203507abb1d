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
    """
    bits = {name: ll.bits_per_dim for name, ll in found.items()}
    scale = {name: ll.dims * np.log(2) for name, ll in found.items()}
    results = {
        "bits_per_dim": {n: float(b.mean()) for n, b in bits.items()},
        "bits_per_dim_median": {n: float(np.median(b)) for n, b in bits.items()},
        # log p(x) = log p(z) + logdet, both per dimension in bits
        "log_pz_bits": {
            n: float(np.mean(f.log_pz) / scale[n]) for n, f in found.items()
        },
        "logdet_bits": {
            n: float(np.mean(f.logdet) / scale[n]) for n, f in found.items()
        },
        "outlier_fraction": {
            n: float(np.mean(b > OUTLIER * np.median(b))) for n, b in bits.items()
        },
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


def write_json(path: Path, content: dict) -> None:
    """Write in one step: a reader finds the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    temporary.replace(path)

"""What results.json says of vectors: nats, since bits/dim are of pixels."""

import numpy as np

from experiments.results import finite, mean, ranking
from flowjax_ood.data.standardize import Standardizer


def vector_results(found: dict, id_name: str, standardizer: Standardizer) -> dict:
    """Nats and AUROC from `{set: Likelihoods}` of standardised vectors.

    `nats` are of the standardised vector, `nats_raw` of the vector as it came, without
    its constant features: the former plus `log |det|` of the standardisation, a
    constant, so that AUROC is that of both. None where PCA leaves dimensions out.

    A vector whose likelihood is not finite is counted in `non_finite` and ranked as
    the least likely; the means of its set are None.
    """
    # NaN and infinity either way: least likely, as a detector would have it
    nats = {
        name: np.where(np.isfinite(ll.log_prob), ll.log_prob, -np.inf)
        for name, ll in found.items()
    }
    means = {name: mean(values) for name, values in nats.items()}
    shift = standardizer.log_abs_det
    raw = {n: None if None in (m, shift) else m + shift for n, m in means.items()}
    return {
        "nats": means,
        "nats_median": {n: finite(np.median(v)) for n, v in nats.items()},
        "nats_raw": raw,
        # log p(x) = log p(z) + logdet
        "log_pz_nats": {n: mean(ll.log_pz) for n, ll in found.items()},
        "logdet_nats": {n: mean(ll.logdet) for n, ll in found.items()},
        "logdet_nats_range": {
            n: [finite(ll.logdet.min()), finite(ll.logdet.max())]
            for n, ll in found.items()
        },
        "non_finite": {n: int(np.isneginf(v).sum()) for n, v in nats.items()},
        **ranking(nats, id_name),
        "standardization": standardizer.describe(),
    }

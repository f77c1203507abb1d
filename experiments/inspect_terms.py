"""log p(x) = log p(z) + logdet of `inspect`: each term, by batch norm's statistics."""

import jax
import numpy as np

from experiments.inspect_subject import Mode, Subject
from flowjax_ood import ood
from flowjax_ood.analysis.likelihood_terms import batch_likelihood_terms
from flowjax_ood.training.likelihood import Likelihoods, evaluate_likelihood
from flowjax_ood.training.parallel import Parallel


def terms(s: Subject) -> dict[str, dict[str, Likelihoods]]:
    """`{mode: {set: Likelihoods}}` of the first images of every set.

    With batch norm, "batch" has groups of one set each: a score of groups. In "batch,
    mixed" half of each group are ID images, half OOD images, so that its statistics do
    not tell the sets apart.
    """
    found = {}
    for name, mode in s.modes.items():
        if not mode.batch:
            found[name] = _running(s, mode, name)
            continue
        score = batch_likelihood_terms(s.flow)
        found[name] = {
            of: _joined(s, [score(mode.variables, x) for x, _ in groups])
            for of, groups in (
                (n, s.batches(n, s.group, "batch statistics", full=True))
                for n in s.sets
            )
        }
        found[f"{name}, mixed"] = _mixed(s, score, mode)
    return found


def _running(s: Subject, mode: Mode, name: str) -> dict[str, Likelihoods]:
    return {
        of: evaluate_likelihood(
            s.flow,
            mode.variables,
            image_set.images,
            key=s.key,
            batch_size=s.config.eval.batch_size,
            parallel=Parallel("jit"),
            label=f"{s.label}: likelihood of {of}, {name} statistics",
        )
        for of, image_set in s.sets.items()
    }


def _mixed(s: Subject, score, mode: Mode) -> dict[str, Likelihoods]:
    """Each OOD set in groups with the ID set; the ID set as it is with the first."""
    half, found = max(1, s.group // 2), {}
    for name in s.sets:
        if name == s.id_name:
            continue
        own, other = [], []
        groups = (
            s.batches(n, half, "mixed batches", full=True) for n in (s.id_name, name)
        )
        for (a, _), (b, _) in zip(*groups):
            x = np.concatenate([np.asarray(a), np.asarray(b)])
            both = np.stack(jax.device_get(score(mode.variables, x)))
            own.append(both[:, :half])
            other.append(both[:, half:])
        found.setdefault(s.id_name, _joined(s, own))
        found[name] = _joined(s, other)
    return found


def _joined(s: Subject, parts) -> Likelihoods:
    log_pz, logdet = (np.concatenate(p) for p in zip(*jax.device_get(list(parts))))
    return Likelihoods(log_pz, logdet, s.flow.dims)


def terms_results(s: Subject, found: dict[str, Likelihoods]) -> dict:
    """Means of both terms, in bits/dim, and AUROC of each of them alone as a score.

    AUROC is P(score of an ID image > that of an OOD image), as for likelihoods.
    """
    results, bits = {"images": {}, "sets": {}, "auroc": {}}, {}
    for name, ll in found.items():
        scale = ll.dims * np.log(2)
        with np.errstate(invalid="ignore"):
            nats = {"log_pz": ll.log_pz, "logdet": ll.logdet, "log_prob": ll.log_prob}
            finite = np.isfinite(ll.log_prob)
        bits[name] = {
            k: np.where(np.isfinite(v), v / scale, -np.inf) for k, v in nats.items()
        }
        results["images"][name] = len(ll.log_pz)
        results["sets"][name] = {
            **{f"{k}_bits": _mean(v) for k, v in bits[name].items()},
            **{
                f"{k}_bits_median": _number(np.median(v)) for k, v in bits[name].items()
            },
            "non_finite": int((~finite).sum()),
        }
    for name in found:
        if name != s.id_name:
            areas = {
                k: ood.auroc(bits[s.id_name][k], bits[name][k]) for k in bits[name]
            }
            results["auroc"][name] = {
                k: {"value": a.value, "ci95": [a.low, a.high]} for k, a in areas.items()
            }
    return results


def _mean(values: np.ndarray) -> float | None:
    with np.errstate(invalid="ignore"):
        return _number(np.mean(values, dtype=np.float64))


def _number(value) -> float | None:
    """JSON has no infinity."""
    return float(value) if np.isfinite(value) else None

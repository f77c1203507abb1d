"""The measures of `inspect`: likelihood terms, couplings, and images in their latents.

log p(x) = log p(z) + logdet, each term by running, recomputed and batch statistics of
batch norm; what couplings predict and what they leak through one another
(co-adaptation).
"""

import jax
import numpy as np

from experiments.core.results import finite, mean
from experiments.inspect import InspectOptions
from experiments.inspect.subject import BATCH, Mode, Subject
from flowjax_ood import ood
from flowjax_ood.analysis.coadaptation import UnsuitableFlow, coadaptation
from flowjax_ood.analysis.couplings import (
    coupling_statistics,
    image_maps,
    record_couplings,
)
from flowjax_ood.analysis.latents import mean_latents
from flowjax_ood.analysis.visibility import visibility
from flowjax_ood.data.batching import padded_batches
from flowjax_ood.evaluation.likelihood import Likelihoods, batch_likelihood_terms

DONORS = 100  # images that swap parts with each other


def terms(s: Subject) -> dict[str, dict[str, Likelihoods]]:
    """`{mode: {set: Likelihoods}}` of the first images of every set.

    With batch norm, "batch" has groups of one set each: a score of groups. In "batch,
    mixed" half of each group are ID images, half OOD images, so that its statistics do
    not tell the sets apart.
    """
    by_mode = {}
    for name, mode in s.modes.items():
        if not mode.batch:
            by_mode[name] = _running(s, mode, name)
            continue
        score = batch_likelihood_terms(s.flow)
        by_mode[name] = {
            of: _joined(s, [score(mode.variables, x) for x, _ in groups])
            for of, groups in (
                (n, s.batches(n, s.group, "batch statistics", full=True))
                for n in s.sets
            )
        }
        by_mode[f"{name}, mixed"] = _mixed(s, score, mode)
    return by_mode


def _running(s: Subject, mode: Mode, name: str) -> dict[str, Likelihoods]:
    return {
        of: s.trained.score(
            image_set.images,
            f"{s.label}: likelihood of {of}, {name} statistics",
            flow=s.flow,
            variables=mode.variables,
        )
        for of, image_set in s.sets.items()
    }


def _mixed(s: Subject, score, mode: Mode) -> dict[str, Likelihoods]:
    """Each OOD set in groups with the ID set; the ID set as it is with the first."""
    half, by_set = max(1, s.group // 2), {}
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
        by_set.setdefault(s.id_name, _joined(s, own))
        by_set[name] = _joined(s, other)
    return by_set


def _joined(s: Subject, parts) -> Likelihoods:
    log_pz, logdet = (np.concatenate(p) for p in zip(*jax.device_get(list(parts))))
    return Likelihoods(log_pz, logdet, s.flow.dims)


def terms_results(s: Subject, likelihoods: dict[str, Likelihoods]) -> dict:
    """Means of both terms, in bits/dim, and AUROC of each of them alone as a score.

    AUROC is P(score of an ID image > that of an OOD image), as for likelihoods.
    """
    results, bits = {"images": {}, "sets": {}, "auroc": {}}, {}
    for name, ll in likelihoods.items():
        scale = ll.dims * np.log(2)
        with np.errstate(invalid="ignore"):
            nats = {"log_pz": ll.log_pz, "logdet": ll.logdet, "log_prob": ll.log_prob}
            known = np.isfinite(ll.log_prob)
        bits[name] = {
            k: np.where(np.isfinite(v), v / scale, -np.inf) for k, v in nats.items()
        }
        results["images"][name] = len(ll.log_pz)
        results["sets"][name] = {
            **{f"{k}_bits": mean(v) for k, v in bits[name].items()},
            **{f"{k}_bits_median": finite(np.median(v)) for k, v in bits[name].items()},
            "non_finite": int((~known).sum()),
        }
    for name in likelihoods:
        if name != s.id_name:
            areas = {
                k: ood.auroc(bits[s.id_name][k], bits[name][k]) for k in bits[name]
            }
            results["auroc"][name] = {
                k: {"value": a.value, "ci95": [a.low, a.high]} for k, a in areas.items()
            }
    return results


def couplings(s: Subject) -> tuple[list[dict], dict[str, list[dict]]]:
    """`([description of each coupling], {set: [measures of each coupling]})`."""
    layers, measured = [], {}
    for name in s.sets:
        stats = coupling_statistics(
            s.flow, s.trained.variables, s.batches(name, BATCH, "couplings")
        )
        layers = [layer.describe() for layer in stats]
        measured[name] = [layer.measures() for layer in stats]
    return layers, measured


def coupling_rows(s: Subject, options: InspectOptions) -> list[tuple]:
    """Rows of `coupling_pages`: the first image asked for, of every set."""
    rows, index = [], options.images[0]
    for name, image_set in s.whole.items():
        x = s.draw(name, np.array([index]))
        maps = image_maps(s.flow, record_couplings(s.flow, s.trained.variables, x))
        shown = [{k: m[k][0] for k in ("-t", "s")} for m in maps]
        rows.append((name, name == s.id_name, image_set.images[index], shown))
    return rows


def coadapted(s: Subject) -> tuple[dict[str, dict] | None, str]:
    """`({set: result of coadaptation}, "")`, or None and why it cannot be measured."""
    size = min(DONORS, *map(len, s.sets.values()))
    measured = {}
    for name in s.sets:
        batches = (x for x, _ in s.batches(name, size, "co-adaptation", full=True))
        try:
            measured[name] = coadaptation(
                s.flow, s.trained.variables, batches, seed=s.trained.config.eval.seed
            )
        except UnsuitableFlow as why:
            return None, str(why)
    return measured, ""


def latent_rows(s: Subject, options: InspectOptions) -> list[tuple]:
    """Rows of `figures.latent_panels`, for the images asked for."""
    return [
        (
            name,
            name == s.id_name,
            s.whole[name].images[i],
            _columns(s, name, i, options),
        )
        for name in s.whole
        for i in options.images
    ]


def _columns(s: Subject, name: str, index: int, options: InspectOptions) -> dict:
    """`{column: latent [H, W, C]}` of one image: a draw, and averages by mode.

    With batch statistics the image is in a batch of its set: itself and its neighbours.
    """
    columns: dict[str, np.ndarray] = {}
    start = min(index // s.group * s.group, len(s.whole[name]) - s.group)
    for mode_name, mode in s.modes.items():
        at = np.arange(start, start + s.group) if mode.batch else np.array([index])
        here = index - start if mode.batch else 0
        if not columns:
            columns["one draw"] = np.asarray(mode.latents(s.draw(name, at)))[here]
        what = f"\n{mode_name} statistics" if len(s.modes) > 1 else ""
        means = _mean_latents(s, mode, name, at, options.draws)
        columns[f"mean of {options.draws}{what}"] = means[here]
    return columns


def visible(s: Subject, options: InspectOptions) -> dict:
    """`{"one_draw" | "mean": {mode: {set: measures}}}` of images in their latents."""
    results: dict = {"one_draw": {}, "mean": {}}
    for mode_name, mode in s.modes.items():
        for name, image_set in s.sets.items():
            count = min(options.averaged, len(image_set))
            size = min(s.group if mode.batch else BATCH, count)
            # batch statistics are those of full batches
            count -= count % size if mode.batch else 0
            pixels = image_set.images[:count] / 255.0
            for what, draws in (("one_draw", 1), ("mean", options.draws)):
                z = [
                    _mean_latents(s, mode, name, at, draws)[mask]
                    for at, mask in padded_batches(count, size)
                ]
                measured = _measured(pixels, np.concatenate(z))
                results[what].setdefault(mode_name, {})[name] = measured
    return results


def _mean_latents(
    s: Subject, mode: Mode, name: str, at: np.ndarray, draws: int
) -> np.ndarray:
    """Latents of the images at `at` of a set, averaged over draws 0 ... draws - 1."""
    return mean_latents(mode.latents, (s.draw(name, at, d) for d in range(draws)))


def _measured(pixels: np.ndarray, z: np.ndarray) -> dict:
    """Measures over the images whose latents are finite, and how many these are."""
    finite = np.isfinite(z).all((1, 2, 3))
    measured = {"images": int(finite.sum())}
    if measured["images"] >= 2:
        measured |= visibility(pixels[finite], z[finite]).measures()
    return measured

"""The measures of `inspect`: likelihood terms, couplings, and images in their latents.

log p(x) = log p(z) + logdet, each term by running, recomputed and batch statistics of
batch norm; what couplings predict and what they leak through one another
(co-adaptation).
"""

from functools import partial

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
    results: dict[str, dict[str, Likelihoods]] = {}
    for name, mode in s.modes.items():
        if not mode.batch:
            results[name] = {
                of: s.trained.score(
                    image_set.events,
                    f"{s.label}: likelihood of {of}, {name} statistics",
                    flow=s.flow,
                    variables=mode.variables,
                )
                for of, image_set in s.sets.items()
            }
            continue
        score = partial(batch_likelihood_terms(s.flow), mode.variables)
        results[name] = {of: _grouped(s, score, s.group, of)[0] for of in s.sets}
        mixed = results[f"{name}, mixed"] = {}
        for of in s.sets:
            if of != s.id_name:
                own, other = _grouped(s, score, max(1, s.group // 2), s.id_name, of)
                # the ID set as it is with the first OOD set
                mixed.setdefault(s.id_name, own)
                mixed[of] = other
    return results


def _grouped(s: Subject, score, size: int, *names: str) -> list[Likelihoods]:
    """Likelihoods of sets, in groups that hold `size` images of each."""
    what = "batch statistics" if len(names) == 1 else "mixed batches"
    parts = []
    for group in zip(*(s.batches(name, size, what, full=True) for name in names)):
        x = np.concatenate([np.asarray(images) for images, _ in group])
        parts.append(np.split(np.stack(jax.device_get(score(x))), len(names), axis=1))
    joined = (np.concatenate(of_set, axis=1) for of_set in zip(*parts))
    of = s.flow.dims, s.trained.sets.bins
    return [Likelihoods(log_pz, logdet, *of) for log_pz, logdet in joined]


def terms_results(s: Subject, likelihoods: dict[str, Likelihoods]) -> dict:
    """Means of both terms, in bits/dim, and AUROC of each of them alone as a score.

    AUROC is P(score of an ID image > that of an OOD image), as for likelihoods.
    """
    bits, sets, auroc = {}, {}, {}
    for name, ll in likelihoods.items():
        scale = ll.dims * np.log(2)
        with np.errstate(invalid="ignore"):
            nats = {"log_pz": ll.log_pz, "logdet": ll.logdet, "log_prob": ll.log_prob}
        bits[name] = {
            k: np.where(np.isfinite(v), v / scale, -np.inf) for k, v in nats.items()
        }
        sets[name] = {
            **{f"{k}_bits": mean(v) for k, v in bits[name].items()},
            **{f"{k}_bits_median": finite(np.median(v)) for k, v in bits[name].items()},
            "non_finite": int((~np.isfinite(nats["log_prob"])).sum()),
        }
    for name in likelihoods:
        if name != s.id_name:
            areas = {k: ood.auroc(bits[s.id_name][k], v) for k, v in bits[name].items()}
            auroc[name] = {
                k: {"value": a.value, "ci95": [a.low, a.high]} for k, a in areas.items()
            }
    images = {name: len(ll.log_pz) for name, ll in likelihoods.items()}
    return {"images": images, "sets": sets, "auroc": auroc}


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
        image = s.trained.sets.pictures(image_set.events[index])
        rows.append((name, name == s.id_name, image, shown))
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
    pictures = s.trained.sets.pictures
    return [
        (
            name,
            name == s.id_name,
            pictures(images.events[i]),
            _columns(s, name, i, options),
        )
        for name, images in s.whole.items()
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
    """`{"one_draw" | "mean": {mode: {set: measures}}}` of images in their latents.

    Measures are over images whose latents are finite, and say how many these are.
    """
    results: dict = {"one_draw": {}, "mean": {}}
    for mode_name, mode in s.modes.items():
        for name, image_set in s.sets.items():
            count = min(options.averaged, len(image_set))
            size = min(s.group if mode.batch else BATCH, count)
            # batch statistics are those of full batches
            count -= count % size if mode.batch else 0
            pixels = image_set.events[:count] / (s.trained.sets.bins - 1.0)
            for what, draws in (("one_draw", 1), ("mean", options.draws)):
                parts = [
                    _mean_latents(s, mode, name, at, draws)[mask]
                    for at, mask in padded_batches(count, size)
                ]
                z = np.concatenate(parts)
                known = np.isfinite(z).all((1, 2, 3))
                measured: dict[str, float] = {"images": int(known.sum())}
                if measured["images"] >= 2:
                    measured |= visibility(pixels[known], z[known]).measures()
                results[what].setdefault(mode_name, {})[name] = measured
    return results


def _mean_latents(
    s: Subject, mode: Mode, name: str, at: np.ndarray, draws: int
) -> np.ndarray:
    """Latents of the images at `at` of a set, averaged over draws 0 ... draws - 1."""
    return mean_latents(mode.latents, (s.draw(name, at, d) for d in range(draws)))

"""The demo's figures, and what is measured for them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.core.build import random_key
from experiments.core.evaluation import dequantized, draw_samples
from experiments.core.sets import Sets
from flowjax_ood import figures, ood
from flowjax_ood.analysis import couplings
from flowjax_ood.analysis.latents import image_layout
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.likelihood import Likelihoods
from flowjax_ood.training.logs import metrics

TEMPERATURE = 0.7
# images over which the correlation of -t with the hidden pixels is taken
CORRELATED = 256


class Trained(NamedTuple):
    """One flow of the demo with all that the report shows of it."""

    flow: Flow
    variables: dict
    likelihoods: dict[str, Likelihoods]
    results: dict
    workdir: Path


def first_sets(sets: Sets) -> dict[str, np.ndarray]:
    """Images of the ID test set and of the first OOD set."""
    ood_name, ood_set = next(iter(sets.ood.items()))
    return {sets.test.name: sets.test.images, ood_name: ood_set.images}


def first_coupling(t: Trained, images) -> dict[str, tuple]:
    """`{set: (record of the first coupling, what is measured of it)}`.

    Over the first images of each set: the correlation of -t with the hidden pixels, and
    the mean log-scale s where the coupling acts.
    """
    found = {}
    for name, pixels in images.items():
        x = dequantized(pixels[:CORRELATED], random_key(0))
        record = couplings.record_couplings(t.flow, t.variables, x)[0]
        measured = {
            "correlation": couplings.prediction_correlation(record),
            "mean_s": float(record.s[:, record.changed].mean()),
            "images": len(x),
        }
        found[name] = (np.asarray(x), record, measured)
    return found


def histograms(trained, id_name):
    bits = {
        name: {data: ll.bits_per_dim for data, ll in t.likelihoods.items()}
        for name, t in trained.items()
    }
    intervals = {
        name: {
            data: (value, *t.results["auroc_ci95"][data])
            for data, value in t.results["auroc"].items()
        }
        for name, t in trained.items()
    }
    return figures.likelihood_histograms(bits, id_name=id_name, auroc=intervals)


def roc(trained, id_name):
    curves = {}
    for name, t in trained.items():
        own = t.likelihoods[id_name].log_prob
        curves[name] = {
            data: (*ood.roc_curve(own, ll.log_prob), t.results["auroc"][data])
            for data, ll in t.likelihoods.items()
            if data != id_name
        }
    return figures.roc_curves(curves)


def terms(trained, id_name):
    parts = {
        name: {data: (ll.log_pz, ll.logdet) for data, ll in t.likelihoods.items()}
        for name, t in trained.items()
    }
    dims = next(iter(trained.values())).flow.dims
    return figures.split_likelihood(parts, id_name=id_name, dims=dims)


def coupling(found: dict[str, tuple], id_name: str):
    """The first coupling on one image of each set, with correlations over many."""
    rows, correlation = [], {}
    for name, (x, record, measured) in found.items():
        shown = {
            "image": x[0],
            "input": np.where(record.seen, record.x[0], np.nan),
            "-t": np.where(record.changed, -record.t[0], np.nan),
            "target": np.where(record.changed, record.x[0], np.nan),
            "s": np.where(record.changed, record.s[0], np.nan),
        }
        rows.append((name, name == id_name, shown))
        correlation[name] = measured["correlation"]
    if not np.isfinite(list(correlation.values())).all():
        correlation = None
    return figures.coupling_panels(rows, correlation=correlation)


def latents(trained, images, id_name, draws: int = 40):
    rows = []
    for data, pixels in images.items():
        columns = {}
        for name, t in trained.items():
            x = dequantized(np.repeat(pixels[:1], draws, 0), random_key(0))
            z = t.flow.apply(t.variables, x, method="latents")
            z = np.asarray(image_layout(t.flow.bijector, z))
            columns[f"{name}\none draw"] = z[0]
            columns[f"{name}\nmean of {draws}"] = z.mean(0)
        rows.append((data, data == id_name, pixels[0], columns))
    return figures.latent_panels(rows)


def samples(trained, sets):
    rows = {f"{sets.train.name} (training data)": sets.train.images[:10]}
    for name, t in trained.items():
        for temperature in (1.0, TEMPERATURE):
            drawn = draw_samples(t.flow, t.variables, 10, 0, temperature)
            rows[f"{name}, T = {temperature}"] = drawn
    return figures.sample_comparison(rows)


def training(trained):
    curves = {}
    for name, t in trained.items():
        records = metrics.read(t.workdir / "metrics.jsonl")
        size = t.results["images_seen"] / t.results["steps"]
        curves[name] = (
            np.array([r["step"] * size for r in records]),
            np.array([r["bits_per_dim"] for r in records]),
        )
    return figures.training_curves(curves)

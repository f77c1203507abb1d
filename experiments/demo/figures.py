"""The demo's figures, and the measures they need."""

import numpy as np

from experiments.core.build import random_key
from experiments.core.evaluation import TrainedFlow, dequantized
from experiments.core.results import intervals
from experiments.core.sets import Sets
from flowjax_ood import figures, ood
from flowjax_ood.analysis import couplings
from flowjax_ood.analysis.latents import image_layout
from flowjax_ood.training.logs import metrics

TEMPERATURE = 0.7
# images over which the correlation of -t with the hidden pixels is taken
CORRELATED = 256


def first_sets(sets: Sets) -> dict[str, np.ndarray]:
    """Images of the ID test set and of the first OOD set."""
    ood_name, ood_set = next(iter(sets.ood.items()))
    return {sets.test.name: sets.test.events, ood_name: ood_set.events}


def first_coupling(trained: TrainedFlow, images) -> dict[str, tuple[dict, dict]]:
    """Show and measure the first coupling: `{set: (panels, measures)}`.

    Panels, of the first image of a set, are those of `figures.coupling_panels`.
    Measures, over its first images: the correlation of -t with the hidden pixels, and
    the mean log-scale s where the coupling acts.
    """
    sets = {}
    for name, pixels in images.items():
        first = pixels[:CORRELATED]
        x = dequantized(first, random_key(0), trained.sets.bins)
        record, *_ = couplings.record_couplings(trained.flow, trained.variables, x)
        (maps,) = couplings.image_maps(trained.flow, [record])
        panels = {"image": np.asarray(x[0])} | {k: v[0] for k, v in maps.items()}
        measures = {
            "correlation": couplings.prediction_correlation(record),
            "mean_s": float(record.s[:, record.changed].mean()),
            "images": len(x),
        }
        sets[name] = (panels, measures)
    return sets


def histograms(flows, id_name):
    """Draw bits/dim of every set under every flow."""
    bits = {
        name: {data: ll.bits_per_dim for data, ll in flow.likelihoods.items()}
        for name, flow in flows.items()
    }
    areas = {name: intervals(flow.results) for name, flow in flows.items()}
    return figures.likelihood_histograms(bits, id_name=id_name, auroc=areas)


def roc(flows, id_name):
    """Draw the ROC curve of every flow and OOD set."""
    curves = {}
    for name, flow in flows.items():
        own = flow.likelihoods[id_name].log_prob
        curves[name] = {
            data: (*ood.roc_curve(own, ll.log_prob), flow.results["auroc"][data])
            for data, ll in flow.likelihoods.items()
            if data != id_name
        }
    return figures.roc_curves(curves)


def terms(flows, id_name):
    """Draw log p(z) and the log-determinant apart."""
    parts = {
        name: {data: (ll.log_pz, ll.logdet) for data, ll in flow.likelihoods.items()}
        for name, flow in flows.items()
    }
    dims = next(iter(flows.values())).trained.flow.dims
    return figures.split_likelihood(parts, id_name=id_name, dims=dims)


def coupling(sets: dict[str, tuple], id_name: str):
    """Draw the first coupling on an image of each set, with correlations over many."""
    rows = [(name, name == id_name, panels) for name, (panels, _) in sets.items()]
    correlation = {name: m["correlation"] for name, (_, m) in sets.items()}
    known = np.isfinite(list(correlation.values())).all()
    return figures.coupling_panels(rows, correlation=correlation if known else None)


def latents(flows, images, id_name, draws: int = 40):
    """Draw the latents of an image of each set, one draw and the mean of `draws`."""
    rows = []
    for data, pixels in images.items():
        columns = {}
        for name, flow in flows.items():
            trained = flow.trained
            copies, bins = np.repeat(pixels[:1], draws, 0), trained.sets.bins
            x = dequantized(copies, random_key(0), bins)
            z = trained.flow.apply(trained.variables, x, method="latents")
            z = np.asarray(image_layout(trained.flow.bijector, z))
            columns[f"{name}\none draw"] = z[0]
            columns[f"{name}\nmean of {draws}"] = z.mean(0)
        shown = trained.sets.pictures(pixels[0])
        rows.append((data, data == id_name, shown, columns))
    return figures.latent_panels(rows)


def samples(flows, sets):
    """Draw samples of every flow below training images."""
    real = sets.pictures(sets.train.images[:10])
    rows = {f"{sets.train.name} (training data)": real}
    for name, flow in flows.items():
        for temperature in (1.0, TEMPERATURE):
            drawn = flow.trained.samples(10, 0, temperature)
            rows[f"{name}, T = {temperature}"] = drawn
    return figures.sample_comparison(rows)


def training(flows):
    """Draw bits/dim against the images seen."""
    curves = {}
    for name, flow in flows.items():
        records = metrics.read(flow.trained.workdir / "metrics.jsonl")
        size = flow.results["images_seen"] / flow.results["steps"]
        curves[name] = (
            np.array([r["step"] * size for r in records]),
            np.array([r["bits_per_dim"] for r in records]),
        )
    return figures.training_curves(curves)

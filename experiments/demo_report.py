"""The demo's figures and its page: what was measured, and what it means."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.build import Sets, random_key
from experiments.evaluate import decimals, dequantized, draw_samples
from flowjax_ood import ood
from flowjax_ood.analysis import couplings, figures
from flowjax_ood.analysis.latents import image_layout
from flowjax_ood.analysis.report import Report
from flowjax_ood.distributions import Flow
from flowjax_ood.training import metric_log
from flowjax_ood.training.likelihood import Likelihoods

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


def write(
    workdir: Path,
    trained: dict[str, Trained],
    sets: Sets,
    found: dict[str, tuple],
    seconds: float | None,
    fast: bool,
) -> Path:
    """Draw every figure into `workdir` and write report.html; returns its path.

    `found` is what `first_coupling` tells of the baseline.
    """
    images = first_sets(sets)
    id_name, ood_name = images
    drawn = {
        "likelihoods": _histograms(trained, id_name),
        "roc": _roc(trained, id_name),
        "terms": _terms(trained, id_name),
        "couplings": _coupling(found, id_name),
        "latents": _latents(trained, images, id_name),
        "samples": _samples(trained, sets),
        "training": _training(trained),
    }
    paths = {
        name: figures.save(figure, workdir / f"{name}.png")
        for name, figure in drawn.items()
    }
    report = Report(
        "Why a flow trained on clothing prefers digits",
        "Two RealNVPs trained on FashionMNIST score unseen clothing and MNIST digits",
    )
    if fast:
        report.text(
            "This is a --fast run: the flows are all but untrained, and the numbers "
            "below only show that everything works."
        )
    report.text(conclusion(trained, fast))
    _numbers(report, trained)
    captions = _captions(id_name, ood_name, found)
    for name, (heading, caption, alt) in captions.items():
        report.section(heading)
        report.figure(paths[name], caption, alt)
    _facts(report, trained, seconds)
    return report.write(workdir / "report.html")


def conclusion(trained: dict[str, Trained], fast: bool) -> str:
    """What the numbers say, in two or three sentences."""
    sentences = []
    for name, t in trained.items():
        for other, value in t.results["auroc"].items():
            low, high = t.results["auroc_ci95"][other]
            if high < 0.5:
                verdict = f"ranks {other} above its own test set"
            elif low > 0.5:
                verdict = f"ranks its own test set above {other}"
            else:
                verdict = f"cannot tell {other} from its own test set"
            sentences.append(
                f"The {name} flow {verdict}: AUROC {value:.3f} [{low:.3f}, {high:.3f}]."
            )
    if not fast:
        sentences.append(
            "Both flows are small and were trained for minutes: their bits/dim are far "
            "from what such flows reach. An AUROC of 0.5 is chance; a likelihood that "
            "detected the other set would be near 1. Changing the masks and the "
            "st-networks shifts the ranking, it does not make likelihood a reliable "
            "detector."
        )
    return " ".join(sentences)


def _numbers(report: Report, trained: dict[str, Trained]) -> None:
    rows, bold = [], []
    for name, t in trained.items():
        for data, mean in t.results["bits_per_dim"].items():
            area = None
            if data in t.results["auroc"]:
                low, high = t.results["auroc_ci95"][data]
                area = f"{t.results['auroc'][data]:.3f} [{low:.3f}, {high:.3f}]"
                bold.append((len(rows), 4))
            median = t.results["bits_per_dim_median"][data]
            rows.append((name, data, decimals(mean), decimals(median), area))
    report.table(
        ("flow", "scored set", "bits/dim, mean", "bits/dim, median", "AUROC [95% CI]"),
        rows,
        "Likelihood as a detector. Fewer bits/dim = more likely. AUROC is the chance "
        "that an image of clothing is more likely than a digit.",
        align="llrrr",
        highlight=bold,
    )


def _captions(
    id_name: str, ood_name: str, found: dict[str, tuple]
) -> dict[str, tuple[str, str, str]]:
    return {
        "likelihoods": (
            "Log-likelihood of every test image",
            "Neither flow was shown a digit in training.",
            f"Histograms of log-likelihood of {id_name} and {ood_name} under each flow",
        ),
        "roc": (
            "Likelihood as a detector",
            "Images whose likelihood exceeds a threshold are taken for clothing. A "
            "curve below the diagonal is worse than guessing.",
            "ROC curves of both flows",
        ),
        "terms": (
            "Where the likelihood comes from",
            "log p(x) = log p(z) + log |det dz/dx|. The volume term rewards every "
            "layer that expands, and layers expand where they predict well.",
            "Histograms of the latent density and the volume change for both sets",
        ),
        "couplings": (
            "What a coupling layer does",
            _coupling_caption(found),
            "Image, masked input, prediction and target of one coupling layer",
        ),
        "latents": (
            "Latents keep the picture",
            "Latents of one image of each set, put back where their pixels came from: "
            "for one draw of the dequantisation noise, and averaged over 40.",
            "Latent variables of an in- and an out-of-distribution image",
        ),
        "samples": (
            "Samples",
            "What the flows have learnt of clothing so far, at two temperatures.",
            "Samples from both flows beside training images",
        ),
        "training": (
            "Training",
            "Bits/dim of the training batches.",
            "Training curves of both flows",
        ),
    }


def _facts(report: Report, trained: dict[str, Trained], seconds: float | None) -> None:
    report.section("How it was made")
    first = next(iter(trained.values())).results
    facts: dict[str, object] = {}
    if seconds is not None:
        facts["total time"] = f"{seconds:.0f} s"
    for role, described in first["data"].items():
        facts[f"data: {role}"] = f"{described['count']:,} images. {described['origin']}"
    for name, t in trained.items():
        rate = t.results["images_per_second"]
        facts[name] = (
            f"{t.results['params']:,} parameters, {t.results['images_seen']:,} images "
            f"seen in {t.results['train_seconds']:.0f} s without compilation"
            + (f" ({rate:.0f} images/s)" if rate else "")
        )
    facts["versions"] = ", ".join(f"{k} {v}" for k, v in first["versions"].items())
    report.facts(facts)


def _histograms(trained, id_name):
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


def _roc(trained, id_name):
    curves = {}
    for name, t in trained.items():
        own = t.likelihoods[id_name].log_prob
        curves[name] = {
            data: (*ood.roc_curve(own, ll.log_prob), t.results["auroc"][data])
            for data, ll in t.likelihoods.items()
            if data != id_name
        }
    return figures.roc_curves(curves)


def _terms(trained, id_name):
    parts = {
        name: {data: (ll.log_pz, ll.logdet) for data, ll in t.likelihoods.items()}
        for name, t in trained.items()
    }
    dims = next(iter(trained.values())).flow.dims
    return figures.split_likelihood(parts, id_name=id_name, dims=dims)


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


def _coupling_caption(found: dict[str, tuple]) -> str:
    measured = "; ".join(
        f"{name}: correlation of -t with the hidden pixels {m['correlation']:.2f}, "
        f"mean s {m['mean_s']:+.2f}"
        for name, (_, _, m) in found.items()
    )
    return (
        "The first checkerboard coupling of the baseline, on the first image of each "
        "set. Its st-network sees half of the pixels and outputs a shift t and a "
        "log-scale s for the other half; -t is its guess of the pixels it does not "
        f"see, and s > 0 is reward for it in likelihood. Over {CORRELATED} images of "
        f"each set, {measured}. All in logit space."
    )


def _coupling(found: dict[str, tuple], id_name: str):
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


def _latents(trained, images, id_name, draws: int = 40):
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


def _samples(trained, sets):
    rows = {f"{sets.train.name} (training data)": sets.train.images[:10]}
    for name, t in trained.items():
        for temperature in (1.0, TEMPERATURE):
            drawn = draw_samples(t.flow, t.variables, 10, 0, temperature)
            rows[f"{name}, T = {temperature}"] = drawn
    return figures.sample_comparison(rows)


def _training(trained):
    curves = {}
    for name, t in trained.items():
        records = metric_log.read(t.workdir / "metrics.jsonl")
        size = t.results["images_seen"] / t.results["steps"]
        curves[name] = (
            np.array([r["step"] * size for r in records]),
            np.array([r["bits_per_dim"] for r in records]),
        )
    return figures.training_curves(curves)

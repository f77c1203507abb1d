"""The demo's page: what was measured, and what it means."""

from collections.abc import Iterator
from pathlib import Path

from experiments.core.evaluation import Evaluated
from experiments.core.results import intervals
from experiments.core.sets import Sets
from experiments.demo import figures as draw
from experiments.demo import remedies
from experiments.demo.figures import CORRELATED, first_sets
from flowjax_ood import figures
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals, interval


def write(
    workdir: Path,
    flows: dict[str, Evaluated],
    sets: Sets,
    coupling: dict[str, tuple],
    measured: dict,
    seconds: float | None,
    fast: bool,
) -> Path:
    """Draw every figure into `workdir` and write report.html; returns its path.

    `coupling` is what `first_coupling` measured of the baseline, `measured` what
    `remedies.measure` did.
    """
    document = Document(
        "Why a flow trained on clothing prefers digits, and what detects them",
        "A RealNVP trained on FashionMNIST scores clothing and many other images",
    )
    if fast:
        document.text(
            "This is a --fast run: the flow is all but untrained, and the numbers "
            "below only show that everything works."
        )
    document.text(conclusion(flows, fast))
    _numbers(document, flows)
    _remedies(document, measured, workdir)
    for name, figure, heading, caption, alt in _pictures(flows, sets, coupling):
        path = workdir / f"{name}.png"
        figures.save(figure, path)
        document.section(heading).figure(path, caption, alt)
    _facts(document, flows, seconds)
    report = workdir / "report.html"
    document.write(report)
    return report


def conclusion(flows: dict[str, Evaluated], fast: bool) -> str:
    """Say what the numbers mean, in two or three sentences."""
    sentences = []
    for name, flow in flows.items():
        for other, (value, low, high) in intervals(flow.results).items():
            if high < 0.5:
                verdict = f"ranks {other} above its own test set"
            elif low > 0.5:
                verdict = f"ranks its own test set above {other}"
            else:
                verdict = f"cannot tell {other} from its own test set"
            sentences.append(
                f"The {name} flow {verdict}: AUROC {interval(value, low, high)}."
            )
    if not fast:
        sentences.append(
            "The flow is small and was trained briefly: its bits/dim are far from what "
            "such flows reach. An AUROC of 0.5 is chance; a likelihood that detected "
            "the other set would be near 1. Other masks and st-networks change the "
            "ranking (`ablate`), they do not make likelihood a reliable detector."
        )
    return " ".join(sentences)


def _numbers(document: Document, flows: dict[str, Evaluated]) -> None:
    rows: list[tuple] = []
    bold = []
    for name, flow in flows.items():
        areas = intervals(flow.results)
        for data, mean in flow.results["bits_per_dim"].items():
            area = areas.get(data)
            if area:
                bold.append((len(rows), 4))
            median = flow.results["bits_per_dim_median"][data]
            rows.append(
                (name, data, decimals(mean), decimals(median), area and interval(*area))
            )
    document.table(
        ("flow", "scored set", "bits/dim, mean", "bits/dim, median", "AUROC [95% CI]"),
        rows,
        "Likelihood as a detector. Fewer bits/dim = more likely. AUROC is the chance "
        "that an image of clothing is more likely than a digit.",
        align="llrrr",
        highlight=bold,
    )


def _remedies(document: Document, measured: dict, workdir: Path) -> None:
    headers, lines = remedies.table(measured)
    counts = measured["images"]
    document.section("The same flow, read rightly").text(remedies.conclusion(measured))
    document.text(
        "Digits prove nothing alone: the length of a lossless code tells them from "
        "clothing, too. So every score stands on many kinds of outliers, beside "
        "controls that never look at a flow. These kinds were looked at while the "
        "scores were made, so the numbers are optimistic; the command `scores --lock` "
        "has others. "
        f"{counts['fit']:,} images that the flow was not trained on fitted them, "
        f"{counts['calibrate']:,} others calibrated them, no outlier did."
    )
    caption = f"AUROC, {counts['test']:,} images of each kind; * without a flow"
    document.table(headers, lines, caption, align="l" + "r" * (len(headers) - 2) + "l")
    path = workdir / "remedies.png"
    figures.save(remedies.heat_map(measured), path)
    document.figure(
        path, "All kinds of outliers.", "Heat map of AUROC by score and kind"
    )


def _pictures(flows: dict[str, Evaluated], sets: Sets, coupling: dict) -> Iterator:
    """File, figure, heading, caption, and what it shows to those who cannot see it."""
    images = first_sets(sets)
    id_name, ood_name = images
    yield (
        "likelihoods",
        draw.histograms(flows, id_name),
        "Log-likelihood of every test image",
        "The flow was not shown a digit in training.",
        f"Histograms of log-likelihood of {id_name} and {ood_name} under the flow",
    )
    yield (
        "roc",
        draw.roc(flows, id_name),
        "Likelihood as a detector",
        "Images whose likelihood exceeds a threshold are taken for clothing. A curve "
        "below the diagonal is worse than guessing.",
        "ROC curve of the flow",
    )
    yield (
        "terms",
        draw.terms(flows, id_name),
        "Where the likelihood comes from",
        "log p(x) = log p(z) + log |det dz/dx|. The volume term rewards every layer "
        "that expands, and layers expand where they predict well.",
        "Histograms of the latent density and the volume change for both sets",
    )
    yield (
        "couplings",
        draw.coupling(coupling, id_name),
        "What a coupling layer does",
        _coupling_caption(coupling),
        "Image, masked input, prediction and target of one coupling layer",
    )
    yield (
        "latents",
        draw.latents(flows, images, id_name),
        "Latents keep the picture",
        "Latents of one image of each set, put back where their pixels came from: for "
        "one draw of the dequantisation noise, and averaged over 40.",
        "Latent variables of an in- and an out-of-distribution image",
    )
    yield (
        "samples",
        draw.samples(flows, sets),
        "Samples",
        "What the flow has learnt of clothing so far, at two temperatures.",
        "Samples of the flow beside training images",
    )
    yield (
        "training",
        draw.training(flows),
        "Training",
        "Bits/dim of the training batches.",
        "Training curve of the flow",
    )


def _facts(
    document: Document, flows: dict[str, Evaluated], seconds: float | None
) -> None:
    document.section("How it was made")
    first = next(iter(flows.values())).results
    facts: dict[str, object] = {}
    if seconds is not None:
        facts["total time"] = f"{seconds:.0f} s"
    for role, described in first["data"].items():
        facts[f"data: {role}"] = f"{described['count']:,} images. {described['origin']}"
    for name, flow in flows.items():
        results, rate = flow.results, flow.results["images_per_second"]
        facts[name] = (
            f"{results['params']:,} parameters, {results['images_seen']:,} images "
            f"seen in {results['train_seconds']:.0f} s without compilation"
            + (f" ({rate:.0f} images/s)" if rate else "")
        )
    facts["versions"] = ", ".join(f"{k} {v}" for k, v in first["versions"].items())
    document.facts(facts)


def _coupling_caption(coupling: dict[str, tuple]) -> str:
    measured = "; ".join(
        f"{name}: correlation of -t with the hidden pixels {m['correlation']:.2f}, "
        f"mean s {m['mean_s']:+.2f}"
        for name, (_, m) in coupling.items()
    )
    return (
        "The first checkerboard coupling of the baseline, on the first image of each "
        "set. Its st-network sees half of the pixels and outputs a shift t and a "
        "log-scale s for the other half; -t is its guess of the pixels it does not "
        f"see, and s > 0 is reward for it in likelihood. Over {CORRELATED} images of "
        f"each set, {measured}. All in logit space."
    )

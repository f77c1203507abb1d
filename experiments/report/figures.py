"""Pictures of the report: those of each run, and those that compare runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.core.kept_results import evaluate_again
from experiments.core.results import unit_of
from experiments.report.rows import Flow
from experiments.report.runs import KeptRun
from experiments.report.words import set_words, size_words, train_words
from flowjax_ood import figures
from flowjax_ood.figures import style
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.errors import user_errors
from flowjax_ood.interface.text import duration

# what `evaluate` leaves: caption, and what it shows to those who cannot see it
OF_RUN = {
    "likelihoods.png": (
        "Log-likelihood of all that was scored. The figure says how many values lie "
        "outside of its axes.",
        "histograms of log-likelihood of every scored set",
    ),
    "likelihood_terms.png": (
        "The two terms of it: log p(x) = log p(z) + log |det dz/dx|.",
        "histograms of the latent density and of the volume change of every set",
    ),
    "samples.png": ("Samples, at temperature 1.", "a grid of samples"),
}
TOGETHER = 4  # curves in one figure


def add_overview(document: Document, flows: Sequence[Flow]) -> None:
    """Show flows on the same images side by side: AUROC and bits/dim of every seed."""
    by_set: dict[tuple[str, str], dict[str, list[KeptRun]]] = {}
    for title, runs in flows:
        results = runs[0].results
        if unit_of(results) == "bits/dim":
            # fake images, too, have the name of the real ones; titles tell apart flows
            # on the same training set
            key = (results["in_distribution"], set_words(results["data"]["train"]))
            by_set.setdefault(key, {})[title] = runs
    for (id_name, _), alike in by_set.items():
        rows = {
            title: {m: _by_set(runs, m) for m in ("auroc", "bits_per_dim")}
            for title, runs in alike.items()
        }
        sets = {name for row in rows.values() for name in row["auroc"]}
        # a single flow has its histograms below; more colours cannot be distinguished
        if len(rows) < 2 or len(sets) > len(style.OOD_COLORS):
            continue
        train = train_words(next(iter(alike.values()))[0])
        figure = figures.ablation_rows(
            rows, id_name=id_name, title=f"Flows trained on {train}"
        )
        document.figure(
            figures.png_bytes(figure),
            f"All flows trained on {train}, every seed. Left of 0.5, the other set is "
            "more likely.",
            f"AUROC and bits/dim of {len(rows)} flows trained on {train}",
        )


def _by_set(runs: Sequence[KeptRun], measure: str) -> dict[str, list]:
    by_set: dict[str, list] = {}
    for run in runs:
        for name, value in run.results[measure].items():
            by_set.setdefault(name, []).append(value)
    return by_set


def add_flow(document: Document, runs: Sequence[KeptRun], names: dict) -> None:
    """Add a flow's setting, how it was trained, and the figures of each of its runs."""
    document.text(_setting(runs))
    for start in range(0, len(runs), TOGETHER):
        _add_training(document, runs[start : start + TOGETHER], names)
    for run in runs:
        lead = f"{names[run.workdir]}, seed {run.seed}. "
        remedy = evaluate_again(run.workdir)
        add_pictures(document, run.workdir, OF_RUN, lead, remedy)


def add_pictures(
    document: Document, workdir: Path, pictures: dict, lead: str, remedy: str
) -> None:
    """Add those of `{file: (caption, alt)}` that are there; `lead` begins captions.

    Raises UserError, with the remedy, for a file that is no picture.
    """
    for file, (caption, alt) in pictures.items():
        if (workdir / file).is_file():
            with user_errors("", ValueError, remedy=remedy):
                document.figure(workdir / file, lead + caption, alt)


def _setting(runs: Sequence[KeptRun]) -> str:
    results = runs[0].results
    things = "vectors" if unit_of(results) == "nats" else "images"
    size = size_words(runs[0])
    text = f"{size[0].upper()}{size[1:]}; {results['params']:,} parameters. Trained "
    text += "on each seed " if len(runs) > 1 else ""
    text += f"for {duration(np.mean([r.results['train_seconds'] for r in runs]))}"
    known = [r.results.get("images_per_second") for r in runs]
    rates = [rate for rate in known if rate is not None]
    if len(rates) == len(known):
        text += f", {np.mean(rates):,.0f} {things}/s without compilation"
    seen = round(np.mean([r.results["images_seen"] for r in runs]))
    return f"{text}: {seen:,} {things} seen."


def _add_training(document: Document, runs: Sequence[KeptRun], names: dict) -> None:
    """Add training curves, of the runs whose metrics are there."""
    unit = unit_of(runs[0].results)
    curves = {}
    for run in runs:
        size = run.results["images_seen"] / run.results["steps"]
        points = [
            (record["step"] * size, _loss(record, unit)) for record in run.records
        ]
        points = [point for point in points if None not in point]
        if points:
            images, losses = np.array(points).T
            curves[f"{names[run.workdir]}, seed {run.seed}"] = images, losses
    if curves:
        words = "Negative log-likelihood" if unit == "nats" else "Bits/dim"
        document.figure(
            figures.png_bytes(figures.training_curves(curves, unit=unit)),
            f"{words} of the training batches.",
            f"training curves of {len(curves)} runs",
        )


def _loss(record: dict, unit: str) -> float | None:
    if unit == "bits/dim":
        return record.get("bits_per_dim")
    log_pz, logdet = record.get("log_pz"), record.get("logdet")
    return None if log_pz is None or logdet is None else -(log_pz + logdet)

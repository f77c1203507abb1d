"""Pictures of the report: those of each run, and those that compare runs."""

import numpy as np

from experiments.core.document import Document
from experiments.core.text import duration
from experiments.report.runs import KeptRun
from experiments.report.words import set_words, size_words
from flowjax_ood import figures
from flowjax_ood.figures import style

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


def add_overview(document: Document, content) -> None:
    """Show flows on the same images side by side: AUROC and bits/dim of every seed."""
    by_set: dict[tuple[str, str], dict[str, list[KeptRun]]] = {}
    for key, runs in content.flows.items():
        if "bits_per_dim" in runs[0].results:
            results = runs[0].results
            # fake images, too, have the name of the real ones; titles tell apart flows
            # on the same training set
            train = set_words(results["data"]["train"])
            same = by_set.setdefault((results["in_distribution"], train), {})
            same[content.titles[key]] = runs
    for (id_name, _), flows in by_set.items():
        sets = {s for runs in flows.values() for r in runs for s in r.results["auroc"]}
        # a single flow has its histograms below; more colours cannot be distinguished
        if len(flows) < 2 or len(sets) > len(style.OOD_COLORS):
            continue
        rows = {
            title: {m: _by_set(runs, m) for m in ("auroc", "bits_per_dim")}
            for title, runs in flows.items()
        }
        train = set_words(next(iter(flows.values()))[0].results["data"]["train"], False)
        figure = figures.ablation_rows(
            rows, id_name=id_name, title=f"Flows trained on {train}"
        )
        document.figure(
            figures.png_bytes(figure),
            f"All flows trained on {train}, every seed. Left of 0.5, the other set is "
            "more likely.",
            f"AUROC and bits/dim of {len(rows)} flows trained on {train}",
        )


def _by_set(runs: list[KeptRun], measure: str) -> dict[str, list]:
    by_set: dict[str, list] = {}
    for run in runs:
        for name, value in run.results[measure].items():
            by_set.setdefault(name, []).append(value)
    return by_set


def add_flow(document: Document, runs: list[KeptRun], names: dict) -> None:
    """Add a flow's setting, how it was trained, and the figures of each of its runs."""
    document.text(_setting(runs))
    for start in range(0, len(runs), TOGETHER):
        _add_training(document, runs[start : start + TOGETHER], names)
    for run in runs:
        for file, (caption, alt) in OF_RUN.items():
            path = run.workdir / file
            if path.is_file():
                name = names[run.workdir]
                document.figure(path, f"{name}, seed {run.seed}. {caption}", alt)


def _setting(runs: list[KeptRun]) -> str:
    results = runs[0].results
    things = "vectors" if "nats" in results else "images"
    seconds = np.mean([r.results["train_seconds"] for r in runs])
    rates = [r.results.get("images_per_second") for r in runs]
    text = f"{size_words(runs[0])}; {results['params']:,} parameters. Trained "
    text += f"{'on each seed ' if len(runs) > 1 else ''}for {duration(seconds)}"
    if None not in rates:
        text += f", {np.mean(rates):,.0f} {things}/s without compilation"
    return f"{text[0].upper()}{text[1:]}: {results['images_seen']:,} {things} seen."


def _add_training(document: Document, runs: list[KeptRun], names: dict) -> None:
    """Add training curves, of the runs whose metrics are there."""
    vectors = "nats" in runs[0].results
    curves = {}
    for run in runs:
        seen, values = [], []
        size = run.results["images_seen"] / run.results["steps"]
        for record in run.records:
            value = _record_value(record, vectors)
            if value is not None:
                seen.append(record["step"] * size)
                values.append(value)
        if seen:
            curves[f"{names[run.workdir]}, seed {run.seed}"] = (
                np.array(seen),
                np.array(values),
            )
    if not curves:
        return
    figure = figures.training_curves(curves, unit="nats" if vectors else "bits/dim")
    unit = "Negative log-likelihood" if vectors else "Bits/dim"
    document.figure(
        figures.png_bytes(figure),
        f"{unit} of the training batches.",
        f"training curves of {len(curves)} runs",
    )


def _record_value(record: dict, vectors: bool) -> float | None:
    if not vectors:
        return record.get("bits_per_dim")
    if "log_pz" in record and "logdet" in record:
        return -(record["log_pz"] + record["logdet"])
    return None

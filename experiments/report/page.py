"""The document of `report`: its order, what it says at the top, and its tables."""

from collections.abc import Iterable, Sequence

import numpy as np

from experiments.report import figures, rows
from experiments.report.published import NOT_AVAILABLE
from experiments.report.rows import Flow, Row, pair_words
from experiments.report.runs import Kept
from experiments.report.sections import add_ablation, add_inspection, add_samples
from experiments.report.words import train_words
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import duration, run_names

TITLE = "Likelihood in and out of distribution"
READING = (
    "Each flow is trained on one data set, and scores unseen examples of that set and "
    "of others by their likelihood. AUROC is the chance that one of its own test set "
    "is more likely than one of the other set: 1 is a perfect detector, 0.5 is chance, "
    "and below 0.5 the flow prefers what it was not trained on. Fewer bits per "
    "dimension mean more likely."
)
PUBLISHED = (
    f'"{NOT_AVAILABLE}" means that the paper\'s number is not known to us, not that '
    "there is none. Published numbers are of the authors' full-size flows."
)
# by the unit of likelihood: flows on images, and those on vectors
COMPARISON = {
    "bits/dim": "Likelihood as a detector. With several seeds, mean ± standard "
    "deviation over them; with one, [the 95% interval of its images].",
    "nats": "Flows on vectors, median nats of the standardised vector (more = more "
    "likely), and detectors without a flow on the same vectors.",
}
SETTINGS = (
    "Settings. Size is of the st-networks; the paper's recipe shows each flow a number "
    "of training images, of which a part was seen here. Time is without compilation."
)
DATA = "All that was trained on or scored."
SINGLE = (
    "Single runs. The interval is of the scored images (DeLong), not of seeds; mean "
    "and median are of the scored set."
)


def document(kept: Kept) -> Document:
    """The whole report."""
    flows = rows.pooled(kept.runs)
    pairs = rows.rows_of(flows)
    names = run_names(output.workdir for outputs in kept for output in outputs)
    report = Document(TITLE, inside(kept, flows))
    report.text(READING).facts(facts(kept))
    if pairs:
        report.section("Results").text(summary(pairs))
    for unit, caption in COMPARISON.items():
        _add_table(
            report, rows.comparison(pairs, unit), caption, "llrrrll", bold="AUROC"
        )
    if pairs:
        report.text("\n\n".join([PUBLISHED, *sources(pairs)]))
        _add_table(report, rows.settings(flows), SETTINGS, "llllrrrr")
    figures.add_overview(report, flows)
    for flow in flows:
        report.section(f"{train_words(flow.runs[0])}: {flow.title}")
        figures.add_flow(report, flow.runs, names)
        for run in flow.runs:
            add_inspection(report, run, names[run.workdir])
    for ablation in kept.ablations:
        add_ablation(report, ablation, names[ablation.workdir])
    for samples in kept.samples:
        add_samples(report, samples, names[samples.workdir])
    if pairs:
        report.section("Every run")
        _add_table(report, rows.single_runs(pairs, names), SINGLE, "lllrrrlr")
    if sets := origins(kept):
        report.section("Data")
        _add_table(report, sets, DATA, "llrl")
    return report


def _add_table(
    report: Document, lines: list[dict], caption: str, align: str, bold: str = ""
) -> None:
    """Add a table of rows `{header: cell}`, where there are any; one column bold."""
    if lines:
        headers = list(lines[0])
        highlight = [(n, headers.index(bold)) for n in range(len(lines)) if bold]
        cells = [list(line.values()) for line in lines]
        report.table(headers, cells, caption, align, highlight)


def inside(kept: Kept, flows: Sequence[Flow]) -> str:
    """Count what is in the report, in a line."""
    parts = []
    if flows:
        parts.append(f"{_count(kept.runs, 'run')} of {_count(flows, 'flow')}")
    if kept.ablations:
        parts.append(_count(kept.ablations, "ablation"))
    if kept.samples:
        parts.append(f"{_count(kept.samples, 'figure')} of samples")
    return ", ".join(parts)


def facts(kept: Kept) -> dict[str, str]:
    """Training time, devices and versions, over all runs."""
    versions = [run.results["versions"] for run in kept.runs]
    versions += [o.content["versions"] for o in (*kept.ablations, *kept.samples)]
    seconds = sum(run.results["train_seconds"] for run in kept.runs)
    ablated = [row for ablation in kept.ablations for row in ablation.content["rows"]]
    seconds += sum(sum(row["train_seconds"]) for row in ablated)
    devices = (
        v["device"] + ("" if v["platform"] in v["device"] else f" ({v['platform']})")
        for v in versions
    )
    software = ("flowjax_ood", "jax", "flax", "optax", "python")
    return {
        "training, without compilation": duration(seconds),
        "trained or evaluated on": _distinct(devices),
        **{name: _distinct(v[name] for v in versions) for name in software},
    }


def summary(pairs: Sequence[Row]) -> str:
    """Say which pairs are the wrong way round, and which are not."""
    wrong: list[str] = []
    right: list[str] = []
    for row in pairs:
        mean = np.mean([run.results["auroc"][row.ood] for run in row.runs])
        said = f"{pair_words(row)} {mean:.3f} ({row.title})"
        (wrong if mean < 0.5 else right).append(said)
    verdicts = {
        "cases the other set is more likely than the flow's own test set": wrong,
        "it is not": right,
    }
    return " ".join(
        f"In {len(said)} of {len(pairs)} {verdict}: {'; '.join(said)}."
        for verdict, said in verdicts.items()
        if said
    )


def sources(pairs: Sequence[Row]) -> list[str]:
    """The published bits/dim, and where the published numbers are from."""
    by_source: dict[str, list[str]] = {}
    for row in pairs:
        if row.published:
            own, other = row.published.bits
            words = f"{pair_words(row)}: bits/dim {own} and {other}"
            by_source.setdefault(row.published.source, []).append(words)
    return [
        f"Published, {source}: {'; '.join(dict.fromkeys(words))}."
        for source, words in by_source.items()
    ]


def origins(kept: Kept) -> list[dict]:
    """How many of which set were used, and from where."""
    data = [run.results["data"] for run in kept.runs]
    data += [ablation.content["data"] for ablation in kept.ablations]
    used = [described for sets in data for described in sets.values()]
    keys = {"set": "name", "split": "split", "count": "count", "origin": "origin"}
    lines = [{word: d[key] for word, key in keys.items()} for d in used]
    return [line for n, line in enumerate(lines) if line not in lines[:n]]


def _count(things: Sequence, what: str) -> str:
    return f"{len(things)} {what}" + "s" * (len(things) != 1)


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))

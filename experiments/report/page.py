"""The document of `report`: its order, what it says at the top, and its tables."""

from collections.abc import Iterable
from typing import NamedTuple

from experiments.core.document import Document
from experiments.core.text import duration
from experiments.report import figures
from experiments.report.published import NOT_AVAILABLE
from experiments.report.rows import Row, pair_words, settings, single_runs, table
from experiments.report.runs import KeptOutput, KeptRun
from experiments.report.sections import add_ablation, add_inspection, add_samples
from experiments.report.words import set_words

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
SETTINGS = (
    "Settings. Size is of the st-networks; the paper's recipe shows each flow a number "
    "of training images, of which a part was seen here. Time is without compilation."
)
DATA = "All that was trained on or scored."
SINGLE = (
    "Single runs. The interval is of the scored images (DeLong), not of seeds; mean "
    "and median are of the scored set."
)


class Content(NamedTuple):
    """The content of a report; flows and titles by the keys of `pooled`."""

    flows: dict[str, list[KeptRun]]
    titles: dict[str, str]
    names: dict
    rows: list[Row]
    ablations: list[KeptOutput]
    samples: list[KeptOutput]

    @property
    def runs(self) -> list[KeptRun]:
        return [run for runs in self.flows.values() for run in runs]


def document(content: Content) -> Document:
    """The whole report."""
    report = Document(TITLE, inside(content))
    report.text(READING).facts(facts(content))
    if content.rows:
        report.section("Results").text(summary(content))
    for caption, headers, rows, align in tables(content):
        bold = [(n, headers.index("AUROC")) for n in range(len(rows))]
        report.table(headers, rows, caption, align, highlight=bold)
    if content.rows:
        report.text("\n\n".join([PUBLISHED, *sources(content.rows)]))
        headers, rows, align = settings(content.flows, content.titles)
        report.table(headers, rows, SETTINGS, align)
    figures.add_overview(report, content)
    for key, runs in content.flows.items():
        train = set_words(runs[0].results["data"]["train"], split=False)
        report.section(f"{train}: {content.titles[key]}")
        figures.add_flow(report, runs, content.names)
        for run in runs:
            add_inspection(report, run, content.names[run.workdir])
    for ablation in content.ablations:
        add_ablation(report, ablation, content.names[ablation.workdir])
    for samples in content.samples:
        add_samples(report, samples, content.names[samples.workdir])
    if content.rows:
        headers, rows, align = single_runs(content.rows, content.names)
        report.section("Every run").table(headers, rows, SINGLE, align)
    headers, rows, align = origins(content)
    if rows:
        report.section("Data").table(headers, rows, DATA, align)
    return report


def tables(content: Content) -> Iterable[tuple]:
    """`(caption, headers, rows, align)` for flows on images, and those on vectors."""
    captions = {
        "bits_per_dim": "Likelihood as a detector. With several seeds, mean ± standard "
        "deviation over them; with one, [the 95% interval of its images].",
        "nats": "Flows on vectors, median nats of the standardised vector (more = "
        "more likely), and detectors without a flow on the same vectors.",
    }
    for unit, caption in captions.items():
        headers, rows, align = table(content.rows, content.titles, unit)
        if rows:
            yield caption, headers, rows, align


def inside(content: Content) -> str:
    """Count what is in the report, in a line."""
    parts = []
    if content.flows:
        parts.append(_count(len(content.runs), "run"))
        parts[0] += f" of {_count(len(content.flows), 'flow')}"
    if content.ablations:
        parts.append(_count(len(content.ablations), "ablation"))
    if content.samples:
        parts.append(_count(len(content.samples), "figure") + " of samples")
    return ", ".join(parts)


def facts(content: Content) -> dict[str, str]:
    """Training time, devices and versions, over all runs."""
    versions = [r.results["versions"] for r in content.runs]
    others = [*content.ablations, *content.samples]
    versions += [o.content["versions"] for o in others]
    seconds = sum(r.results["train_seconds"] for r in content.runs)
    for ablation in content.ablations:
        for row in ablation.content["rows"]:
            seconds += sum(row["train_seconds"])
    software = ("flowjax_ood", "jax", "flax", "optax", "python")
    return {
        "training, without compilation": duration(seconds),
        "trained or evaluated on": _distinct(
            v["device"]
            if v["platform"] in v["device"]
            else f"{v['device']} ({v['platform']})"
            for v in versions
        ),
    } | {name: _distinct(v[name] for v in versions) for name in software}


def summary(content: Content) -> str:
    """Say which pairs are the wrong way round, and which are not."""
    said = {True: [], False: []}
    for row in content.rows:
        mean = sum(row.areas) / len(row.areas)
        said[mean < 0.5].append(
            f"{pair_words(row)} {mean:.3f} ({content.titles[row.flow]})"
        )
    count, text = len(content.rows), []
    if said[True]:
        text.append(
            f"In {len(said[True])} of {count} cases the other set is more likely "
            f"than the flow's own test set: {'; '.join(said[True])}."
        )
    if said[False]:
        text.append(
            f"In {len(said[False])} of {count} it is not: {'; '.join(said[False])}."
        )
    return " ".join(text)


def sources(rows: list[Row]) -> list[str]:
    """The published bits/dim, and where the published numbers are from."""
    by_source: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.published:
            own, other = row.published.bits
            text = f"{pair_words(row)}: bits/dim {own} and {other}"
            by_source.setdefault(row.published.source, {})[text] = None
    return [
        f"Published, {source}: {'; '.join(texts)}."
        for source, texts in by_source.items()
    ]


def origins(content: Content) -> tuple:
    """`(headers, rows, align)`: how many of which set were used, and from where."""
    different: dict[tuple, None] = {}
    data = [run.results["data"] for run in content.runs]
    data += [ablation.content["data"] for ablation in content.ablations]
    for described in (d for sets in data for d in sets.values()):
        row = tuple(described[key] for key in ("name", "split", "count", "origin"))
        different[row] = None
    return ["set", "split", "count", "origin"], list(different), "llrl"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))

"""Sections of a report on what `ablate`, `samples` and `inspect` left."""

from experiments.ablate import table
from experiments.core import json_file
from experiments.core.json_file import Each, Maybe
from experiments.report.figures import add_pictures
from experiments.report.published import NOT_AVAILABLE
from experiments.report.runs import KeptOutput, KeptRun, anew
from flowjax_ood.interface.document import Document
from flowjax_ood.interface.text import decimals

ABLATION = {
    "ablation.png": (
        "Every row and every seed.",
        "AUROC and bits/dim of every row of the ablation",
    ),
    "bottleneck.png": (
        "Against the width of the bottleneck.",
        "AUROC and bits/dim against the width of the bottleneck",
    ),
}
TERMS = ("log_prob", "log_pz", "logdet")
# of inspect.json: medians of every set, and AUROC of every OOD set, by term
INSPECTED = {
    "likelihood_terms": Each(
        {
            "sets": Each({f"{term}_bits_median": Maybe(float) for term in TERMS}),
            "auroc": Each({term: {"value": Maybe(float)} for term in TERMS}),
        }
    )
}
# by the beginning of a file's name
CAPTIONS = {
    "latents": "Images and their latents, put back where their pixels came from.",
    "terms": "log p(z) and the log-determinant, by the statistics of batch norm.",
    "couplings": "-t and exp(s) of every coupling, for one image of each set.",
    "depth": "How well each coupling predicts what it changes, and how sure it is.",
    "coadaptation": "What couplings read of each other: R² of -t where a part of what "
    "is passed on was taken from other images.",
}


def add_ablation(document: Document, ablation: KeptOutput, name: str) -> None:
    """Add the table that `ablate` prints, with images seen per run, and its figures."""
    content = ablation.content
    headers, rows = table.columns(content)
    seen = [sum(r["images_seen"]) / len(r["seeds"]) for r in content["rows"]]
    rows = [[*row, f"{images:,.0f}"] for row, images in zip(rows, seen)]
    caption = f"{name}: every row trained once per seed; mean ± standard deviation. "
    caption += f"Published: {NOT_AVAILABLE}."
    for what, left in (("Not done yet", "missing"), ("Diverged", "failed")):
        if content.get(left):
            caption += f" {what}: {'; '.join(content[left])}."
    document.section(f"Ablation: {name}")
    document.table([*headers, "images seen"], rows, caption)
    remedy = anew(f"ablate --config=... --workdir={ablation.workdir}")
    add_pictures(document, ablation.workdir, ABLATION, f"{name}. ", remedy)


def add_samples(document: Document, samples: KeptOutput, name: str) -> None:
    """Add the figure of samples of several runs at several temperatures."""
    runs = ", ".join(samples.content["runs"])
    caption = f"Samples of {runs}, from the same noise at several temperatures."
    document.section(f"Samples: {name}")
    pictures = {"samples.png": (caption, f"samples of {runs}")}
    remedy = anew(f"samples --workdir DIR ... --out={samples.workdir}")
    add_pictures(document, samples.workdir, pictures, "", remedy)


def add_inspection(document: Document, run: KeptRun, name: str) -> None:
    """Add a short table and the figures of DIR/inspect, where there are any."""
    folder = run.workdir / "inspect"
    file, remedy = folder / "inspect.json", anew(f"inspect --workdir={run.workdir}")
    if not file.exists():
        return
    headers, rows = _terms(json_file.read(file, INSPECTED, remedy=remedy))
    document.table(
        headers,
        rows,
        f"{name}, inspected: medians in bits/dim of log p(x) = log p(z) + logdet, and "
        "the AUROC of each alone as a score.",
        "ll" + "r" * (len(headers) - 2),
    )
    pictures = {}
    for path in sorted(folder.glob("*.png")):
        kind = path.stem.rstrip("0123456789").rstrip("_")
        pictures[path.name] = CAPTIONS.get(kind, f"{path.name}."), f"{kind} of {name}"
    add_pictures(document, folder, pictures, f"{name}, inspected. ", remedy)


def _terms(content: dict) -> tuple[list[str], list[list]]:
    headers = ["batch norm", "set", *("log p(x)", "log p(z)", "logdet")]
    headers += [f"AUROC, {term}" for term in headers[2:]]
    rows = []
    for mode, terms in content["likelihood_terms"].items():
        for name, values in terms["sets"].items():
            areas = terms["auroc"].get(name)
            numbers = [values[f"{term}_bits_median"] for term in TERMS]
            numbers += [areas[term]["value"] if areas else None for term in TERMS]
            rows.append([mode, name, *(decimals(n, missing="–") for n in numbers)])
    return headers, rows

"""What `ablate` and `samples` left, in the report."""

from experiments import ablate_table
from experiments.published import NOT_AVAILABLE
from experiments.report_runs import KeptOutput
from flowjax_ood.analysis.report import Report

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


def ablation_table(ablation: KeptOutput) -> tuple[list[str], list[list[str]]]:
    """The table that `ablate` prints, with images seen a run."""
    headers, rows = ablate_table.columns(ablation.content)
    seen = [sum(r["images_seen"]) / len(r["seeds"]) for r in ablation.content["rows"]]
    rows = [[*row, f"{images:,.0f}"] for row, images in zip(rows, seen)]
    return [*headers, "images seen"], rows


def ablation_caption(ablation: KeptOutput, name: str) -> str:
    """What the table is, and what of it is not there."""
    caption = f"{name}: every row trained once a seed; mean ± standard deviation. "
    caption += f"Published: {NOT_AVAILABLE}."
    for what, left in (("Not done yet", "missing"), ("Diverged", "failed")):
        if ablation.content.get(left):
            caption += f" {what}: {'; '.join(ablation.content[left])}."
    return caption


def add_ablation(report: Report, ablation: KeptOutput, name: str) -> None:
    """The table of an ablation, and its figures."""
    report.section(f"Ablation: {name}")
    headers, rows = ablation_table(ablation)
    report.table(headers, rows, ablation_caption(ablation, name))
    for file, (caption, alt) in ABLATION.items():
        path = ablation.workdir / file
        if path.is_file():
            report.figure(path, f"{name}. {caption}", alt)


def add_samples(report: Report, samples: KeptOutput, name: str) -> None:
    """The figure of samples of several runs at several temperatures."""
    runs = ", ".join(samples.content["runs"])
    report.section(f"Samples: {name}")
    path = samples.workdir / "samples.png"
    if path.is_file():
        caption = f"Samples of {runs}, from the same noise at several temperatures."
        report.figure(path, caption, f"samples of {runs}")

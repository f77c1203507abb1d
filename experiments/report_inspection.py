"""What `inspect` found of a run, in the report."""

from experiments.config import UserError
from experiments.report_runs import KeptRun
from flowjax_ood.analysis.report import Report

TERMS = ("log_prob", "log_pz", "logdet")
# by the beginning of a file's name
CAPTIONS = {
    "latents": "Images and their latents, put back where their pixels came from.",
    "terms": "log p(z) and the log-determinant, by the statistics of batch norm.",
    "couplings": "-t and exp(s) of every coupling, for one image of each set.",
    "depth": "How well each coupling predicts what it changes, and how sure it is.",
    "coadaptation": "What couplings read of each other: R² of -t where a part of what "
    "is passed on was taken from other images.",
}


def add_inspection(report: Report, run: KeptRun, name: str) -> None:
    """A short table and the figures of DIR/inspect, where there are any."""
    content = run.inspection
    if content is None:
        return
    try:
        headers, rows = _terms(content)
    except KeyError as error:
        raise UserError(
            f"{run.workdir / 'inspect' / 'inspect.json'} lacks {error}; make it anew: "
            f"python -m experiments inspect --workdir={run.workdir}"
        ) from error
    report.table(
        headers,
        rows,
        f"{name}, inspected: medians in bits/dim of log p(x) = log p(z) + logdet, and "
        "the AUROC of each alone as a score.",
        "ll" + "r" * (len(headers) - 2),
    )
    for path in sorted((run.workdir / "inspect").glob("*.png")):
        kind = path.stem.rstrip("0123456789").rstrip("_")
        caption = CAPTIONS.get(kind, f"{path.name}.")
        report.figure(path, f"{name}, inspected. {caption}", f"{kind} of {name}")


def _terms(content: dict) -> tuple[list[str], list[list]]:
    headers = ["batch norm", "set", *("log p(x)", "log p(z)", "logdet")]
    headers += [f"AUROC, {term}" for term in headers[2:]]
    rows = []
    for mode, found in content["likelihood_terms"].items():
        for name, values in found["sets"].items():
            row = [mode, name, *(_number(values[f"{t}_bits_median"]) for t in TERMS)]
            areas = found["auroc"].get(name)
            row += [_number(areas[t]["value"]) if areas else None for t in TERMS]
            rows.append(row)
    return headers, rows


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"

"""Results, figures and the table that an evaluated run leaves."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from experiments.core.evaluation import (
    draw_samples,
    evaluate,
    run_name,
)
from experiments.core.results import (
    UNITS,
    unit_of,
    write_json,
)
from experiments.core.sets import Sets
from experiments.core.text import decimals
from flowjax_ood import figures
from flowjax_ood.runtime.processes import on_lead
from flowjax_ood.training.loop import Run


def main(config: ConfigDict, workdir: Path, sets: Sets, run: Run) -> None:
    """Evaluate and leave results.json, likelihoods.npz and figures in the workdir.

    Of several processes, each scores its part of every batch, and process 0 writes.
    """
    label = run_name(workdir)
    found = evaluate(config, run, sets, label)
    on_lead(lambda: _leave_and_tell(config, workdir, label, found))


def _leave_and_tell(config: ConfigDict, workdir: Path, label: str, found) -> None:
    results = leave(config, workdir, *found)
    print_table({label: results})
    print(f"results and figures are in {workdir}")


def leave(
    config: ConfigDict, workdir: Path, flow, variables, found, results: dict
) -> dict:
    """Write what `evaluate` found; results.json comes last: it means all is done."""
    arrays = {}
    for name, ll in found.items():
        arrays |= {f"{name}/log_pz": ll.log_pz, f"{name}/logdet": ll.logdet}
    np.savez_compressed(workdir / "likelihoods.npz", **arrays)
    draw(config, workdir, flow, variables, found, results)
    write_json(workdir / "results.json", results)
    return results


def draw(config, workdir, flow, variables, found, results) -> None:
    """Likelihood histograms, the two terms of the likelihood, and samples, as PNG."""
    id_name, label = results["in_distribution"], run_name(workdir)
    unit = unit_of(results)
    values = {
        name: ll.log_prob if unit == "nats" else ll.bits_per_dim
        for name, ll in found.items()
    }
    intervals = {
        label: {
            name: (value, *results["auroc_ci95"][name])
            for name, value in results["auroc"].items()
        }
    }
    histograms = figures.likelihood_histograms(
        {label: values}, id_name=id_name, auroc=intervals, unit=unit
    )
    figures.save(histograms, workdir / "likelihoods.png")
    parts = {label: {name: (ll.log_pz, ll.logdet) for name, ll in found.items()}}
    split = figures.split_likelihood(parts, id_name=id_name, dims=flow.dims, unit=unit)
    figures.save(split, workdir / "likelihood_terms.png")
    if config.eval.samples:
        images = draw_samples(flow, variables, config.eval.samples, config.eval.seed)
        grid = figures.sample_grid(images, f"Samples of {label}")
        figures.save(grid, workdir / "samples.png")


def print_table(runs: dict[str, dict]) -> None:
    """Likelihood of every set and AUROC of every OOD set, one row a run and set.

    Detectors without a flow follow that beside which they were measured. Flows on
    images, in bits/dim, and on vectors, in nats, have a table each.
    """
    from rich.console import Console
    from rich.table import Table

    title = "likelihood as a detector (AUROC < 0.5: the other set wins)"
    for unit in dict.fromkeys(map(unit_of, runs.values())):
        table = Table(title=title)
        for column in ("flow", "set", unit, "median", "AUROC", "95% CI"):
            table.add_column(
                column, justify="left" if column in ("flow", "set") else "right"
            )
        for flow, results in runs.items():
            if unit_of(results) == unit:
                for row in _rows(flow, results, UNITS[unit]):
                    table.add_row(*row)
                table.add_section()
        Console().print(table)


def _rows(flow: str, results: dict, key: str) -> list[tuple[str, ...]]:
    def area(found, name):
        if name not in found["auroc"]:
            return "", ""
        interval = "-".join(map(decimals, found["auroc_ci95"][name]))
        return decimals(found["auroc"][name]), interval

    rows, told = [], results.get("told", ())
    for name, mean in results[key].items():
        median = decimals(results[f"{key}_median"][name])
        shown = f"{name} (told)" if name in told else name
        rows.append((flow, shown, decimals(mean), median, *area(results, name)))
    for detector, found in results.get("baselines", {}).items():
        for name in found["auroc"]:
            rows.append((detector, name, "", "", *area(found, name)))
    return rows

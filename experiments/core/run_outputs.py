"""Write the results and figures of an evaluated run, and print its table."""

import numpy as np

from experiments.core import text
from experiments.core.evaluation import Evaluated, TrainedFlow, evaluate
from experiments.core.results import UNITS, intervals, unit_of, write_json
from experiments.core.text import decimals, run_name
from flowjax_ood import figures
from flowjax_ood.runtime.processes import on_lead


def main(trained: TrainedFlow) -> None:
    """Evaluate, and leave results.json, likelihoods.npz and figures in the workdir.

    Of several processes, each scores its part of every batch, and process 0 writes.
    """
    evaluated = evaluate(trained)

    def write() -> None:
        results = leave(evaluated)
        print_table({run_name(trained.workdir): results})
        print(f"results and figures are in {trained.workdir}")

    on_lead(write)


def leave(evaluated: Evaluated) -> dict:
    """Write everything into the workdir; results.json comes last: it means all is done.

    Returns its content.
    """
    trained, likelihoods, results = evaluated
    arrays = {}
    for name, ll in likelihoods.items():
        arrays |= {f"{name}/log_pz": ll.log_pz, f"{name}/logdet": ll.logdet}
    np.savez_compressed(trained.workdir / "likelihoods.npz", **arrays)
    draw(evaluated)
    write_json(trained.workdir / "results.json", results)
    return results


def draw(evaluated: Evaluated) -> None:
    """Likelihood histograms, the two terms of the likelihood, and samples, as PNG."""
    trained, likelihoods, results = evaluated
    id_name, label = results["in_distribution"], run_name(trained.workdir)
    unit = unit_of(results)
    values = {
        name: ll.log_prob if unit == "nats" else ll.bits_per_dim
        for name, ll in likelihoods.items()
    }
    areas = {label: intervals(results)}
    histograms = figures.likelihood_histograms(
        {label: values}, id_name=id_name, auroc=areas, unit=unit
    )
    figures.save(histograms, trained.workdir / "likelihoods.png")
    parts = {label: {n: (ll.log_pz, ll.logdet) for n, ll in likelihoods.items()}}
    dims = trained.flow.dims
    split = figures.split_likelihood(parts, id_name=id_name, dims=dims, unit=unit)
    figures.save(split, trained.workdir / "likelihood_terms.png")
    c = trained.config.eval
    if c.samples:
        images = trained.samples(c.samples, c.seed)
        grid = figures.sample_grid(images, f"Samples of {label}")
        figures.save(grid, trained.workdir / "samples.png")


def print_table(runs: dict[str, dict]) -> None:
    """Print the likelihood of every set and AUROC of every OOD set, run by run.

    Detectors without a flow follow the flow on whose vectors they were measured. Flows
    on images, in bits/dim, and on vectors, in nats, have a table each.
    """
    for unit in dict.fromkeys(map(unit_of, runs.values())):
        rows = []
        for flow, results in runs.items():
            if unit_of(results) == unit:
                rows += [*_rows(flow, results, UNITS[unit]), None]
        text.print_table(
            ("flow", "set", unit, "median", "AUROC", "95% CI"),
            rows,
            title="likelihood as a detector (AUROC < 0.5: the other set wins)",
            left=2,
        )


def _rows(flow: str, results: dict, key: str) -> list[tuple[str, ...]]:
    def area(ranking, name):
        if name not in ranking["auroc"]:
            return "", ""
        interval = "-".join(map(decimals, ranking["auroc_ci95"][name]))
        return decimals(ranking["auroc"][name]), interval

    rows, exposed = [], results.get("told", ())
    for name, mean in results[key].items():
        median = decimals(results[f"{key}_median"][name])
        shown = f"{name} (exposed)" if name in exposed else name
        rows.append((flow, shown, decimals(mean), median, *area(results, name)))
    for detector, ranking in results.get("baselines", {}).items():
        for name in ranking["auroc"]:
            rows.append((detector, name, "", "", *area(ranking, name)))
    return rows

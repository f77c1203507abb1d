"""Write the results and figures of an evaluated run, and print its table."""

from typing import Any

import numpy as np

from experiments.core import drawing
from experiments.core.drawing import told_apart
from experiments.core.evaluation import Evaluated, TrainedFlow, evaluate
from experiments.core.results import UNITS, intervals, json_bytes, unit_of
from experiments.core.workdir import check_writable
from flowjax_ood import figures
from flowjax_ood.interface import text
from flowjax_ood.interface.errors import writing
from flowjax_ood.interface.text import decimals, run_name
from flowjax_ood.runtime.files import replacing
from flowjax_ood.runtime.processes import on_lead


def main(trained: TrainedFlow) -> None:
    """Evaluate, and leave results.json, likelihoods.npz and figures in the workdir.

    Of several processes, each scores its part of every batch, and process 0 writes.
    """
    check_writable("--workdir", trained.workdir)
    evaluated = evaluate(trained)

    def write() -> None:
        results = leave(evaluated)
        print_table({run_name(trained.workdir): results})
        print(f"results and figures are in {trained.workdir}")

    on_lead(write)


def leave(evaluated: Evaluated) -> dict:
    """Write the numbers into the workdir, then draw them; returns results.json.

    results.json and likelihoods.npz are written before either is replaced; a process
    that is killed just between leaves the latter new.
    """
    trained, likelihoods, results = evaluated
    arrays: dict[str, Any] = {}
    workdir = trained.workdir
    for name, ll in likelihoods.items():
        arrays |= {f"{name}/log_pz": ll.log_pz, f"{name}/logdet": ll.logdet}
    with (
        writing("--workdir", workdir),
        replacing(workdir / "results.json") as summary,
        replacing(workdir / "likelihoods.npz") as archive,
    ):
        summary.write_bytes(json_bytes(results))
        with archive.open("wb") as file:
            np.savez_compressed(file, **arrays)
    draw(evaluated)
    return results


def draw(evaluated: Evaluated) -> None:
    """Likelihood histograms, the two terms of the likelihood, and samples, as PNG."""
    trained, likelihoods, results = evaluated
    workdir, id_name = trained.workdir, results["in_distribution"]
    label, of = run_name(workdir), {"unit": unit_of(results), "id_name": id_name}
    shown = told_apart(likelihoods, id_name, workdir / "likelihoods.png")
    areas = {n: area for n, area in intervals(results).items() if n in shown}

    def histograms():
        nats = of["unit"] == "nats"
        values = {
            n: ll.log_prob if nats else ll.bits_per_dim for n, ll in shown.items()
        }
        return figures.likelihood_histograms(
            {label: values}, auroc={label: areas}, **of
        )

    def terms():
        parts = {label: {n: (ll.log_pz, ll.logdet) for n, ll in shown.items()}}
        return figures.split_likelihood(parts, dims=trained.flow.dims, **of)

    def samples():
        images = trained.samples(c.samples, c.seed)
        return figures.sample_grid(images, f"Samples of {label}")

    c = trained.config.eval
    drawing.draw(workdir / "likelihoods.png", histograms)
    drawing.draw(workdir / "likelihood_terms.png", terms)
    if c.samples:
        drawing.draw(workdir / "samples.png", samples)
    else:
        # those of an earlier evaluation
        (workdir / "samples.png").unlink(missing_ok=True)


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
    for flow, results in runs.items():
        if classified := results.get("classification"):
            accuracy = classified["accuracy"]
            shown = "the test set has no such labels"
            if accuracy is not None:
                ends = "-".join(f"{end:.1%}" for end in classified["accuracy_ci95"])
                shown = (
                    f"Bayes' rule is right for {accuracy:.1%} [{ends}] of the test set"
                )
            of = f"the mixture of {classified['classes']} classes"
            print(f"{flow}: likelihoods are of {of}; {shown}")
    noisy = [f for f, r in runs.items() if r.get("noise")]
    if noisy:
        print(
            f"{', '.join(noisy)}: bits/dim are those of images by the density of noisy "
            "ones, which the flow was trained on; samples are denoised"
        )
    learned = [f for f, r in runs.items() if r.get("dequantization") == "variational"]
    if learned:
        print(
            f"{', '.join(learned)}: bits/dim are an upper bound, by one draw of learned"
            " dequantisation noise an image"
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

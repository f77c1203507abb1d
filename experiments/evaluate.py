"""`evaluate --workdir=DIR [--config.data.ood=...]`: likelihoods, AUROC, figures.

Uses the newest checkpoint in DIR. Only `eval` keys and those of the scored sets can be
changed here; what was used of them is in results.json.
"""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build
from experiments.baselines import baseline_results
from experiments.objective import rows
from experiments.results import (
    UNITS,
    likelihood_results,
    over_draws,
    unit_of,
    versions,
    write_json,
)
from experiments.sets import Sets
from experiments.vector_results import vector_results
from experiments.workdir import keep_data
from flowjax_ood.analysis import figures
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow
from flowjax_ood.training.batch_statistics import recompute_batch_stats
from flowjax_ood.training.checkpoint import Checkpoints
from flowjax_ood.training.early_stopping import restore_best
from flowjax_ood.training.likelihood import Likelihoods, evaluate_likelihood
from flowjax_ood.training.loop import Run
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.processes import fetch, on_lead
from flowjax_ood.training.progress import progress
from flowjax_ood.training.state import parameter_count


def restore(config: ConfigDict, workdir: Path, sets: Sets) -> Run:
    """The newest checkpoint of a run; CheckpointError where there is none to read.

    Of a run that holds a validation set back, it is the best so far.
    """
    if (workdir / "data.json").exists():
        keep_data(sets.train, workdir, sets.negative, **sets.beside)
    template = build.state_template(config, sets)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        state, facts = checkpoints.restore(template)
    if "validation" in facts:
        state = restore_best(workdir, template, facts["validation"])
    return Run(state, **facts)


def likelihoods(
    config: ConfigDict,
    flow: Flow,
    variables: dict,
    sets: Sets,
    label: str,
    draw: int = 0,
) -> dict[str, Likelihoods]:
    """`{set name: Likelihoods}` of the test set and every OOD set.

    Draw d of the dequantisation noise is that of seed `eval.seed + d`.
    """
    label += f", draw {draw + 1} of {config.eval.draws}" if draw else ""
    found = {}
    for name, image_set in {sets.test.name: sets.test, **sets.ood}.items():
        found[name] = evaluate_likelihood(
            flow,
            variables,
            sets.inputs(image_set),
            key=build.random_key(config.eval.seed + draw),
            batch_size=config.eval.batch_size,
            # a global view: batch norm does not act in evaluation
            parallel=Parallel("jit"),
            label=f"{label}: likelihood of {name}",
        )
    return found


def precise_variables(
    config: ConfigDict, flow: Flow, variables: dict, sets: Sets, label: str
) -> dict:
    """Variables with batch-norm statistics recomputed over training batches.

    Of negative training, they are of both kinds of images, as those in training were.
    """
    c = config.eval
    key = build.random_key(c.seed)
    training = build.batches(config, sets, c.seed)
    parallel = Parallel("jit")
    place = parallel.place_rows
    if rows(config, sets) % len(parallel.devices):
        # trained on other devices: each of these computes all of it
        place = parallel.place_copies

    def batches():
        with progress(
            f"{label}: batch statistics", c.recompute_batches, "batches"
        ) as p:
            for step in range(c.recompute_batches):
                images = training(step)["image"]
                yield dequantized(images, jax.random.fold_in(key, step))
                p.advance(step + 1)

    return recompute_batch_stats(
        flow, parallel.place_copies(variables), batches(), place
    )


def evaluate(
    config: ConfigDict, run: Run, sets: Sets, label: str
) -> tuple[Flow, dict, dict[str, Likelihoods], dict]:
    """`(flow, variables, likelihoods by set, results)` of a trained run.

    With batch norm, likelihoods come from statistics recomputed over training data,
    and `results["running_statistics"]` tells what the running ones would have given.
    The likelihoods, and all results but AUROC, are of the first of `eval.draws`. Of
    vectors, which need no draws, results hold nats, and detectors without a flow.
    """
    flow = build.flow(config, sets.event_shape)
    variables = _of_this_process(run.state.variables())
    id_name = sets.test.name
    extra = {}
    if variables.get("batch_stats"):
        found = likelihoods(config, flow, variables, sets, f"{label}, running stats")
        extra["running_statistics"] = likelihood_results(found, id_name)
        variables = precise_variables(config, flow, variables, sets, label)
        variables = _of_this_process(variables)
    found = likelihoods(config, flow, variables, sets, label)
    described = {"train": sets.train, "test": sets.test, **sets.ood}
    if sets.standardizer:
        measured = vector_results(found, id_name, sets.standardizer)
        extra["baselines"] = baseline_results(config, sets)
    else:
        draws = [likelihood_results(found, id_name)]
        for draw in range(1, config.eval.draws):
            other = likelihoods(config, flow, variables, sets, label, draw)
            draws.append(likelihood_results(other, id_name))
        measured = over_draws(draws)
    if sets.validation is not None:
        described["validation"] = sets.validation
        by = config.train.validate_by
        extra["validation"] = {"statistic": by, **(run.validation or {})}
    if sets.negative is not None:
        described["negative"] = sets.negative
        extra["told"] = list(sets.told)
    results = {
        "data": {name: s.describe() for name, s in described.items()},
        "in_distribution": id_name,
        **measured,
        **extra,
        "train_seconds": run.seconds,
        "images_per_second": run.images_per_second if run.images else None,
        "images_seen": int(run.state.step) * config.train.batch_size,
        "steps": int(run.state.step),
        "params": parameter_count(run.state.params),
        "eval": config.eval.to_dict(),
        "versions": versions(),
    }
    return flow, variables, found, results


def _of_this_process(variables: dict) -> dict:
    """For what one of several processes does by itself, such as drawing samples."""
    return fetch(variables) if jax.process_count() > 1 else variables


def run_name(workdir: Path) -> str:
    """What a run is called in tables and figures; `.` has a name too."""
    return workdir.resolve().name


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


def dequantized(images: np.ndarray, key: jax.Array) -> jax.Array:
    """uint8 images `[B, H, W, C]` with fresh dequantisation noise, in [0, 1)."""
    return dequantize(images, example_keys(key, np.arange(len(images))))


def draw_samples(flow, variables, count: int, seed: int, temperature: float = 1.0):
    """`count` samples as float images clipped to [0, 1]."""
    sample = jax.jit(
        lambda v, key, temperature: flow.apply(
            v, key, count, temperature, method="sample"
        )
    )
    images = np.asarray(sample(variables, jax.random.key(seed), temperature))
    return np.clip(images, 0, 1)


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


def decimals(value: float | None) -> str:
    """Three decimals; None is the mean of a set with infinite values."""
    return "not finite" if value is None else f"{value:.3f}"

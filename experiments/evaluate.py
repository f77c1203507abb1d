"""`evaluate --workdir=DIR [--config.data.ood=...]`: likelihoods, AUROC, figures.

Uses the newest checkpoint in DIR. Only `eval` keys and those of the scored sets can be
changed here; what was used of them is in results.json.
"""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build
from experiments.results import likelihood_results, versions, write_json
from experiments.sets import Sets
from experiments.workdir import keep_data
from flowjax_ood.analysis import figures
from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow
from flowjax_ood.training.batch_statistics import recompute_batch_stats
from flowjax_ood.training.checkpoint import Checkpoints
from flowjax_ood.training.likelihood import Likelihoods, evaluate_likelihood
from flowjax_ood.training.loop import Run
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.progress import progress
from flowjax_ood.training.state import parameter_count


def restore(config: ConfigDict, workdir: Path, sets: Sets) -> Run:
    """The newest checkpoint of a run; CheckpointError where there is none to read."""
    if (workdir / "data.json").exists():
        keep_data(sets.train, workdir)
    template = build.state_template(config, sets)
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        state, facts = checkpoints.restore(template)
    return Run(state, facts["seconds"], facts["images"])


def likelihoods(
    config: ConfigDict, flow: Flow, variables: dict, sets: Sets, label: str
) -> dict[str, Likelihoods]:
    """`{set name: Likelihoods}` of the test set and every OOD set."""
    found = {}
    for name, image_set in {sets.test.name: sets.test, **sets.ood}.items():
        found[name] = evaluate_likelihood(
            flow,
            variables,
            image_set.images,
            key=build.random_key(config.eval.seed),
            batch_size=config.eval.batch_size,
            # a global view: batch norm does not act in evaluation
            parallel=Parallel("jit"),
            label=f"{label}: likelihood of {name}",
        )
    return found


def precise_variables(
    config: ConfigDict, flow: Flow, variables: dict, sets: Sets, label: str
) -> dict:
    """Variables with batch-norm statistics recomputed over training batches."""
    c = config.eval
    key = build.random_key(c.seed)
    images, size = sets.train.images, config.train.batch_size

    def batches():
        with progress(
            f"{label}: batch statistics", c.recompute_batches, "batches"
        ) as p:
            for step in range(c.recompute_batches):
                at = batch_indices(len(images), size, c.seed, step)
                yield dequantized(images[at], jax.random.fold_in(key, step))
                p.advance(step + 1)

    return recompute_batch_stats(flow, variables, batches())


def evaluate(
    config: ConfigDict, run: Run, sets: Sets, label: str
) -> tuple[Flow, dict, dict[str, Likelihoods], dict]:
    """`(flow, variables, likelihoods by set, results)` of a trained run.

    With batch norm, likelihoods come from statistics recomputed over training data,
    and `results["running_statistics"]` tells what the running ones would have given.
    """
    flow = build.flow(config, sets.test.images.shape[1:])
    variables = run.state.variables()
    id_name = sets.test.name
    extra = {}
    if variables.get("batch_stats"):
        found = likelihoods(config, flow, variables, sets, f"{label}, running stats")
        extra["running_statistics"] = likelihood_results(found, id_name)
        variables = precise_variables(config, flow, variables, sets, label)
    found = likelihoods(config, flow, variables, sets, label)
    described = {"train": sets.train, "test": sets.test, **sets.ood}
    results = {
        "data": {name: s.describe() for name, s in described.items()},
        "in_distribution": id_name,
        **likelihood_results(found, id_name),
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


def run_name(workdir: Path) -> str:
    """What a run is called in tables and figures; `.` has a name too."""
    return workdir.resolve().name


def main(config: ConfigDict, workdir: Path, sets: Sets, run: Run) -> None:
    """Evaluate and leave results.json, likelihoods.npz and figures in the workdir."""
    label = run_name(workdir)
    flow, variables, found, results = evaluate(config, run, sets, label)
    write_json(workdir / "results.json", results)
    arrays = {}
    for name, ll in found.items():
        arrays |= {f"{name}/log_pz": ll.log_pz, f"{name}/logdet": ll.logdet}
    np.savez_compressed(workdir / "likelihoods.npz", **arrays)
    draw(config, workdir, flow, variables, found, results)
    print_table({label: results})
    print(f"results and figures are in {workdir}")


def draw(config, workdir, flow, variables, found, results) -> None:
    """Likelihood histograms, the two terms of the likelihood, and samples, as PNG."""
    id_name, label = results["in_distribution"], run_name(workdir)
    bits = {label: {name: ll.bits_per_dim for name, ll in found.items()}}
    intervals = {
        label: {
            name: (value, *results["auroc_ci95"][name])
            for name, value in results["auroc"].items()
        }
    }
    histograms = figures.likelihood_histograms(bits, id_name=id_name, auroc=intervals)
    figures.save(histograms, workdir / "likelihoods.png")
    parts = {label: {name: (ll.log_pz, ll.logdet) for name, ll in found.items()}}
    split = figures.split_likelihood(parts, id_name=id_name, dims=flow.dims)
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
    """bits/dim of every set and AUROC of every OOD set, one row a run and set."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="likelihood as a detector (AUROC < 0.5: the other set wins)")
    for column in ("flow", "set", "bits/dim", "median", "AUROC", "95% CI"):
        table.add_column(
            column, justify="left" if column in ("flow", "set") else "right"
        )
    for flow, results in runs.items():
        for name, mean in results["bits_per_dim"].items():
            area = interval = ""
            if name in results["auroc"]:
                area = decimals(results["auroc"][name])
                interval = "-".join(map(decimals, results["auroc_ci95"][name]))
            median = results["bits_per_dim_median"][name]
            table.add_row(flow, name, decimals(mean), decimals(median), area, interval)
        table.add_section()
    Console().print(table)


def decimals(value: float | None) -> str:
    """Three decimals; None is the mean of a set with infinite values."""
    return "not finite" if value is None else f"{value:.3f}"

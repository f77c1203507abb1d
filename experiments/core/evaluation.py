"""A trained flow, and the likelihoods of sets under it."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.build import rows
from experiments.core.config import with_overrides
from experiments.core.keys import BASELINES, EVALUATE_KEYS
from experiments.core.results import (
    likelihood_results,
    over_draws,
    ranking,
    vector_results,
    versions,
)
from experiments.core.run_config import check_hosts, read_config
from experiments.core.sets import Sets, load_sets
from experiments.core.workdir import keep_data
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.batch_statistics import recompute_batch_stats
from flowjax_ood.evaluation.likelihood import Likelihoods, evaluate_likelihood
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch, on_all
from flowjax_ood.runtime.progress import progress
from flowjax_ood.training.checkpoints.checkpoints import Checkpoints
from flowjax_ood.training.early_stopping import restore_best
from flowjax_ood.training.loop import Run
from flowjax_ood.training.state import parameter_count

MAHALANOBIS, NEIGHBORS = BASELINES


def baseline_results(config: ConfigDict, sets: Sets) -> dict:
    """`{detector: {"auroc": {set: value}, "auroc_ci95": ..., "fitted_on": N}}`.

    Fitted on the training vectors as the flow sees them, `eval.limit_baselines` of them
    drawn by the seed (0: all). Mahalanobis once with one Gaussian for all and, where
    there are labels of several classes, once with one mean a class; nearest neighbours
    once as the vectors are, once of vectors scaled to length 1, which suits embeddings,
    and leaves only the direction of a table's row.
    """
    c = config.eval
    if not c.baselines:
        return {}
    train, labels = sets.inputs(sets.train), sets.train.labels
    if 0 < c.limit_baselines < len(train):
        # by chance: files may be sorted by class
        order = np.random.default_rng(config.seed).permutation(len(train))
        at = np.sort(order[: c.limit_baselines])
        train, labels = train[at], None if labels is None else labels[at]
    scored = {sets.test.name: sets.test, **sets.ood}
    scored = {name: sets.inputs(one) for name, one in scored.items()}
    found = {}
    for name, detector, notes in _detectors(c, train, labels):
        scores = {n: np.asarray(detector.score(x)) for n, x in scored.items()}
        found[name] = ranking(scores, sets.test.name)
        found[name] |= {"fitted_on": len(train), **notes}
    return found


def _detectors(c: ConfigDict, train: np.ndarray, labels: np.ndarray | None):
    """`(name, fitted detector, what to note)` of every detector asked for."""
    from flowjax_ood.ood import Mahalanobis, NearestNeighbors

    if MAHALANOBIS in c.baselines:
        yield MAHALANOBIS, Mahalanobis.fit(train), {}
        if labels is not None and len(np.unique(labels)) > 1:
            classes = {"classes": len(np.unique(labels))}
            yield f"{MAHALANOBIS}_classes", Mahalanobis.fit(train, labels), classes
    if NEIGHBORS in c.baselines:
        k = min(c.neighbors, len(train))
        for name, normalize in ((NEIGHBORS, False), (f"{NEIGHBORS}_unit", True)):
            detector = NearestNeighbors.fit(train, k=k, normalize=normalize)
            yield name, detector, {"k": k}


def read_run(workdir: Path, overrides: Sequence[str]) -> ConfigDict:
    """The config of a run, with overrides of the keys that evaluation may change."""
    return with_overrides(read_config(workdir), overrides, keys=EVALUATE_KEYS)


def open_run(workdir: Path, overrides: Sequence[str]) -> tuple[ConfigDict, Sets, Run]:
    """`(config, sets, trained run)` of a workdir, on all processes."""
    config = read_run(workdir, overrides)
    check_hosts(config)
    # a host without the data would keep the others waiting
    sets = on_all(lambda: load_sets(config, workdir))
    return config, sets, restore(config, workdir, sets)


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

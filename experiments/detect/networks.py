"""Classifiers of a config: built, trained in workdirs of their own, and restored."""

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.core.build import feed_options, random_key
from experiments.core.checks import check_norm_group
from experiments.core.errors import UserError, user_errors
from experiments.core.run_config import check_config, keep_config
from experiments.core.sets import Sets
from experiments.core.workdir import keep_data, locked
from experiments.detect.recipe import (
    classifier,
    exposure_optimizer,
    num_steps,
    optimizer,
    outlier_batch,
    step_and_batches,
)
from flowjax_ood.evaluation.accuracy import evaluate_accuracy
from flowjax_ood.ood.batched import spread
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch
from flowjax_ood.training.loop import fit
from flowjax_ood.training.state import create_classifier_state, fine_tuning_state

# what tests a network, and does not train it
TESTED = ("data.test", "data.ood", "data.ood_source", "data.altered", "data.limit_test")


def seeded(config: ConfigDict, network: int) -> ConfigDict:
    """The config of the network of that number, 0 the first: it differs by its seed."""
    config = deepcopy(config)
    config.seed += network
    return config


def network_workdir(workdir: Path, config: ConfigDict) -> Path:
    """Where the network of a config is kept; `config` as `seeded` makes it."""
    return workdir / "networks" / f"seed_{config.seed}"


def train_classifier(
    config: ConfigDict,
    workdir: Path,
    sets: Sets,
    label: str,
    *,
    outliers: np.ndarray | None = None,
    start: dict | None = None,
):
    """Train the classifier of `config` in `workdir`, or go on with it.

    Args:
        outliers: uint8 `[M, H, W, C]`. With them it is told to be unsure of outliers
            (Outlier Exposure), by `exposure.weight` and `exposure.batch_size`.
        start: variables to train further, by the steps and the optimiser of
            `config.exposure`, in place of those of `config.train`.

    Returns `(module to evaluate, variables, facts for results)`. Raises UserError
    before anything is written where it cannot be trained, else what `fit` raises.
    """
    x, labels = sets.inputs(sets.train), sets.train.labels
    if labels is None:
        raise UserError(
            f"{sets.train.name}:{sets.train.split} has no labels, which a classifier "
            "needs"
        )
    classes = int(labels.max()) + 1
    c = config.train
    module = classifier(config, classes, training=True)
    room = "train" if start is None else "exposure"
    steps = num_steps(config[room], c.batch_size, len(x), room)
    with user_errors("config", ValueError, TypeError):
        parallel = Parallel(config.parallel, fsdp=config.fsdp)
        parallel.check_batch_size(c.batch_size)
        rows = {"examples": c.batch_size}
        if outliers is not None:
            rows["outliers"] = outlier_batch(config)
            parallel.check_batch_size(rows["outliers"])
        check_norm_group(config, len(parallel.devices), **rows)
        update = (
            optimizer(config, len(x) / c.batch_size, steps)
            if start is None
            else exposure_optimizer(config, steps)
        )
        keys = jax.random.split(random_key(config.seed))

        def initial():
            if start is not None:
                return fine_tuning_state(update, start)
            one = jnp.zeros((1, *x.shape[1:]), x.dtype)
            return create_classifier_state(module, update, keys[0], one)

        jax.eval_shape(initial)
        step, batches = step_and_batches(config, module, update, x, labels, outliers)
    exposed = outliers is not None or start is not None
    free = TESTED if exposed else (*TESTED, "exposure")
    check_config(config, workdir, free)
    with locked(workdir):
        keep_data(sets.train, workdir, **_beside(outliers, start))
        keep_config(config, workdir, free)
        run = fit(
            initial,
            step,
            batches,
            key=keys[1],
            batch_size=c.batch_size,
            num_steps=steps,
            parallel=parallel,
            workdir=workdir,
            log_every=c.log_every,
            checkpoint_every=c.checkpoint_every,
            keep_checkpoints=c.keep_checkpoints,
            steps_per_call=c.steps_per_call,
            reading=feed_options(config),
            label=label,
        )
    module = classifier(config, classes)
    # out of whatever placement it was trained in
    variables = fetch(run.state.variables())
    accuracy = None
    if sets.test.labels is not None:
        accuracy = evaluate_accuracy(
            module,
            variables,
            sets.inputs(sets.test),
            sets.test.labels,
            batch_size=config.eval.batch_size,
            parallel=Parallel("jit"),
        )
    facts = {
        "seed": config.seed,
        "steps": int(run.state.step),
        "accuracy": accuracy,
        "train_seconds": run.seconds,
        "images_per_second": run.images_per_second if run.images else None,
    }
    return module, variables, facts


def _beside(outliers: np.ndarray | None, start: dict | None) -> dict[str, np.ndarray]:
    """What a training goes by beside its examples: the same when it goes on."""
    found = {}
    if outliers is not None:
        found["outliers"] = outliers
    if start is not None:
        leaves = jax.tree.leaves(start)
        found["starting_network"] = np.concatenate([np.ravel(a) for a in leaves])
    return found


def on_all_devices() -> AbstractContextManager:
    """While it is active, detectors spread every batch over all devices."""
    parallel = Parallel("jit")
    if len(parallel.devices) == 1:
        return nullcontext()
    return spread(parallel.place_rows, fetch, len(parallel.devices))


def network_on_all_devices(module, variables: dict) -> Network:
    """A network of variables, equal on all processes, of which each device has a copy.

    Once, not with every batch.
    """
    return Network.of(module, Parallel("jit").place_copies(variables))

"""Classifiers of a config: built, trained in workdirs of their own, and restored."""

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.keys import names
from experiments.core.sets import Sets
from experiments.core.training_run import run_training
from experiments.detect import recipe
from flowjax_ood.evaluation.accuracy import evaluate_accuracy
from flowjax_ood.ood.batched import spread
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch


def seeded(config: ConfigDict, network: int) -> ConfigDict:
    """The config of the network of that number, 0 the first: it differs by its seed."""
    config = deepcopy(config)
    config.seed += network
    return config


def network_workdir(workdir: Path, config: ConfigDict) -> Path:
    """The workdir of the network of `config`, as `seeded` makes it."""
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
    """Train the classifier of `config` in `workdir`, or resume it.

    `outliers` and `start`: see `recipe.training`. Returns `(module to evaluate,
    variables, facts for results)`. Raises UserError before anything is written where it
    cannot be trained, else what `fit` raises.
    """
    made = recipe.training(config, sets, outliers=outliers, start=start)
    exposed = outliers is not None or start is not None
    # what tests a network does not train it
    tested = names("scored")
    run = run_training(
        made,
        config,
        workdir,
        sets,
        label,
        _arrays(outliers, start),
        free=tested if exposed else (*tested, "exposure"),
    )
    module = build.classifier(config, recipe.classes(sets))
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


def _arrays(outliers: np.ndarray | None, start: dict | None) -> dict[str, np.ndarray]:
    """All that a training uses besides its examples, by name in data.json."""
    arrays = {}
    if outliers is not None:
        arrays["outliers"] = outliers
    if start is not None:
        leaves = jax.tree.leaves(start)
        arrays["starting_network"] = np.concatenate([np.ravel(a) for a in leaves])
    return arrays


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

"""Classifiers of a config: built, trained in workdirs of their own, and restored."""

from copy import deepcopy
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.keys import names
from experiments.core.memory import check_batches, check_state
from experiments.core.sets import Sets
from experiments.core.training_run import run_training
from flowjax_ood.evaluation.accuracy import evaluate_accuracy
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.ood.network import Network
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.runtime.processes import fetch
from flowjax_ood.training.augment import crop_flip
from flowjax_ood.training.batches import batches_with_outliers, labelled_batches
from flowjax_ood.training.classifier_objectives import CrossEntropy, OutlierExposure
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state, fine_tuning_state
from flowjax_ood.training.step import make_train_step

AUGMENTATIONS = {"none": None, "crop_flip": crop_flip}


def seeded(config: ConfigDict, network: int) -> ConfigDict:
    """Copy the config for the network of that number, 0 the first: its seed differs."""
    config = deepcopy(config)
    config.seed += network
    return config


def network_workdir(workdir: Path, config: ConfigDict) -> Path:
    """Name the workdir of the network of `config`, as `seeded` makes it."""
    return workdir / "networks" / f"seed_{config.seed}"


def train_classifier(
    config: ConfigDict,
    workdir: Path,
    sets: Sets,
    label: str,
    *,
    outliers: np.ndarray | None = None,
    start: dict | None = None,
) -> tuple[nn.Module, dict, dict]:
    """Train the classifier of `config` in `workdir`, or resume it.

    Args:
        config: of a classifier.
        workdir: the directory of the run.
        sets: those of the config; the training set has labels.
        label: the name of the run in its progress.
        outliers: uint8 `[M, H, W, C]`. With them it learns to be unsure of outliers
            (Outlier Exposure), by `exposure.weight` and `exposure.batch_size`.
        start: variables to train further, by the steps and the optimiser of
            `config.exposure`, in place of those of `config.train`.

    Returns:
        `(module to evaluate, variables, facts for results)`.

    Raises:
        UserError: before anything is written where it cannot be trained.
        Exception: what `fit` raises.
    """
    training = _training(config, sets, outliers, start)
    # all that it uses besides its examples, by name in data.json
    arrays = {} if outliers is None else {"outliers": outliers}
    if start is not None:
        leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(start)]
        arrays["starting_network"] = np.concatenate(leaves)
    # what tests a network does not train it
    free = names("scored") if arrays else (*names("scored"), "exposure")
    run = run_training(training, config, workdir, sets, label, arrays, free=free)
    module = build.classifier(config, _classes(sets))
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


def _training(
    config: ConfigDict, sets: Sets, outliers: np.ndarray | None, start: dict | None
) -> build.Training:
    """The training of `train_classifier`, on all devices."""
    x = sets.inputs(sets.train)
    ahead = build.prefetch(config)
    check_batches(config, x.shape[1:], ahead.ahead)
    module = build.classifier(config, _classes(sets), training=True)
    labels = sets.train_labels
    steps = build.num_steps(config, len(x), "train" if start is None else "exposure")
    size, c = config.train.batch_size, config.exposure
    more = {} if outliers is None else {"outliers": c.batch_size or 2 * size}
    parallel = build.parallel(config, **more)
    with user_errors("config", ValueError, TypeError):
        if start is None:
            optimizer = build.optimizer(config, steps, len(x) / size)
        else:
            optimizer = make_optimizer(
                make_schedule(c.learning_rate, "cosine", steps),
                name="sgd",
                clip_norm=0.0,
                l2=c.l2,
                scales_apart=False,
                nesterov=True,
            )
        augment = AUGMENTATIONS[config.train.augment]
        if outliers is None:
            objective = CrossEntropy(module, augment)
            batches = labelled_batches(x, labels, size, config.seed)
        else:
            objective = OutlierExposure(module, augment, c.weight)
            batches = batches_with_outliers(
                x, labels, outliers, size, more["outliers"], config.seed
            )
    keys = jax.random.split(build.random_key(config.seed))

    def initial():
        if start is not None:
            return fine_tuning_state(optimizer, start)
        # only its shape matters
        example = jnp.zeros((1, *x.shape[1:]), x.dtype)
        return create_state(module, optimizer, keys[0], example)

    with user_errors("config", ValueError, TypeError):
        shapes = jax.eval_shape(initial)
    check_state(shapes)
    return build.Training(
        initial=initial,
        train_step=make_train_step(objective, optimizer),
        batches=batches,
        plan=build.plan(config, steps),
        key=keys[1],
        batch_size=size,
        parallel=parallel,
        prefetch=ahead,
    )


def _classes(sets: Sets) -> int:
    """Count the classes of the training set; UserError where it has no labels."""
    if sets.train.labels is None:
        raise UserError(
            f"{sets.train.name}:{sets.train.split} has no labels, which a classifier "
            "needs"
        )
    return int(sets.train.labels.max()) + 1


def network_on_all_devices(module: nn.Module, variables: dict) -> Network:
    """Copy variables, equal on all processes, to every device, once for all batches."""
    return Network.of(module, Parallel("jit").place_copies(variables))

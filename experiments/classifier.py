"""Classifiers of a config: built, trained in workdirs of their own, and restored."""

import math
from copy import deepcopy
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.build import random_key
from experiments.config import UserError
from experiments.kept_config import keep_config
from experiments.sets import Sets
from experiments.workdir import keep_data, locked
from flowjax_ood.models.lenet import LeNet
from flowjax_ood.precision import Precision
from flowjax_ood.training.batches import labelled_batches
from flowjax_ood.training.classification import (
    create_classifier_state,
    evaluate_accuracy,
    make_classifier_step,
)
from flowjax_ood.training.classifier_optimizer import (
    epoch_decay,
    make_classifier_optimizer,
)
from flowjax_ood.training.loop import fit
from flowjax_ood.training.parallel import Parallel

MODELS = {"lenet": LeNet}


def classifier(config: ConfigDict, classes: int, *, training: bool = False):
    """The module of `config.model`; UserError where there is none such."""
    args = config.model.to_dict()
    name = args.pop("name", None)
    if name not in MODELS:
        raise UserError(f"unknown classifier {name!r}; known: {', '.join(MODELS)}")
    # on CPU, XLA's own convolution trains faster on two devices, and Winograd's
    # evaluates faster
    fast = jax.default_backend() == "cpu" and not training
    args["precision"] = Precision(convolution="winograd" if fast else "direct")
    try:
        return MODELS[name](classes=classes, **args)
    except (ValueError, TypeError) as error:
        raise UserError(f"config.model: {error}") from error


def seeded(config: ConfigDict, network: int) -> ConfigDict:
    """The config of the network of that number, 0 the first: it differs by its seed."""
    config = deepcopy(config)
    config.seed += network
    return config


def network_workdir(workdir: Path, config: ConfigDict) -> Path:
    """Where the network of a config is kept; `config` as `seeded` makes it."""
    return workdir / "networks" / f"seed_{config.seed}"


def train_classifier(config: ConfigDict, workdir: Path, sets: Sets, label: str):
    """Train the classifier of `config` in `workdir`, or go on with it.

    Returns `(module to evaluate, variables, facts for results)`. Raises UserError
    before anything is written where it cannot be trained, else what `fit` raises.
    """
    images, labels = sets.train.images, sets.train.labels
    if labels is None:
        raise UserError(
            f"{sets.train.name}:{sets.train.split} has no labels, which a classifier "
            "needs"
        )
    classes = int(labels.max()) + 1
    c = config.train
    steps = c.num_steps or math.ceil(c.num_epochs * len(images) / c.batch_size)
    if steps < 1:
        raise UserError(f"nothing to train: {steps} steps; set config.train.num_steps")
    module = classifier(config, classes, training=True)
    try:
        parallel = Parallel(config.parallel)
        parallel.check_batch_size(c.batch_size)
        optimizer = _optimizer(config, len(images) / c.batch_size)
        keys = jax.random.split(random_key(config.seed))

        def initial():
            return create_classifier_state(
                module, optimizer, keys[0], jnp.zeros((1, *images.shape[1:]))
            )

        jax.eval_shape(initial)
    except ValueError as error:
        raise UserError(f"config: {error}") from error
    keep_config(config, workdir)
    with locked(workdir):
        keep_data(sets.train, workdir)
        run = fit(
            initial,
            make_classifier_step(module, optimizer),
            labelled_batches(images, labels, c.batch_size, config.seed),
            key=keys[1],
            batch_size=c.batch_size,
            num_steps=steps,
            parallel=parallel,
            workdir=workdir,
            log_every=c.log_every,
            checkpoint_every=c.checkpoint_every,
            keep_checkpoints=c.keep_checkpoints,
            label=label,
        )
    module = classifier(config, classes)
    # out of whatever placement it was trained in
    variables = jax.device_get(run.state.variables())
    accuracy = None
    if sets.test.labels is not None:
        accuracy = evaluate_accuracy(
            module,
            variables,
            sets.test.images,
            sets.test.labels,
            batch_size=config.eval.batch_size,
        )
    facts = {
        "seed": config.seed,
        "steps": int(run.state.step),
        "accuracy": accuracy,
        "train_seconds": run.seconds,
        "images_per_second": run.images_per_second if run.images else None,
    }
    return module, variables, facts


def _optimizer(config: ConfigDict, steps_per_epoch: float):
    """The optimiser of `config.optimizer`, its rate decayed after every epoch."""
    c = config.optimizer
    rate = epoch_decay(c.learning_rate, c.decay, steps_per_epoch)
    return make_classifier_optimizer(c.name, rate, l2=c.l2)

"""From a config to a classifier's module, optimiser, step and batches."""

import math
from collections.abc import Callable
from dataclasses import fields
from functools import partial

import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.core.errors import UserError, user_errors
from flowjax_ood.models.cifar_resnet import ResNet34
from flowjax_ood.models.lenet import LeNet
from flowjax_ood.models.sequence_lstm import BiLSTM
from flowjax_ood.precision import FLOAT32, as_precision
from flowjax_ood.training.batches import batches_with_outliers, labelled_batches
from flowjax_ood.training.objectives import cross_entropy, outlier_exposure
from flowjax_ood.training.optimizers import (
    epoch_decay,
    make_classifier_optimizer,
    make_schedule,
    step_decay,
)
from flowjax_ood.training.step import crop_flip, make_classifier_step

MODELS = {"lenet": LeNet, "resnet34": ResNet34, "bilstm": BiLSTM}
SCHEDULES = ("epoch_decay", "step_decay", "cosine", "constant")
AUGMENTATIONS = {"none": None, "crop_flip": crop_flip}
# what is not for a config to say
OURS = ("parent", "name", "classes", "precision")


def classifier(config: ConfigDict, classes: int, *, training: bool = False):
    """The module of `config.model`; UserError where there is none such.

    `model.precision`, where there is one, is that of training alone: what detectors
    read comes from float32.
    """
    args = config.model.to_dict()
    name, trained = args.pop("name", None), args.pop("precision", FLOAT32)
    if name not in MODELS:
        raise UserError(f"unknown classifier {name!r}; known: {', '.join(MODELS)}")
    known = [f.name for f in fields(MODELS[name]) if f.name not in OURS]
    for key in args:
        if key not in known:
            raise UserError(
                f"config.model.{key}: {name!r} has none such; known: {', '.join(known)}"
            )
    with user_errors("config.model", ValueError, TypeError):
        # XLA's own convolution, where flows have a faster one to evaluate: detectors
        # take gradients, too, and those are slower with it
        precision = as_precision(trained) if training else FLOAT32
        return MODELS[name](classes=classes, precision=precision, **args)


def num_steps(room: ConfigDict, batch_size: int, count: int, name: str) -> int:
    """Steps of a training of `count` examples, by `num_steps` or else `num_epochs`.

    `name`: what the room is called in the error for no steps at all.
    """
    steps = room.num_steps or math.ceil(room.num_epochs * count / batch_size)
    if steps < 1:
        raise UserError(f"nothing to train: {steps} steps; set config.{name}.num_steps")
    return steps


def optimizer(
    config: ConfigDict, steps_per_epoch: float, steps: int
) -> optax.GradientTransformation:
    """The optimiser of `config.optimizer`; ValueError for what cannot be."""
    c = config.optimizer
    boundaries = [math.ceil(e * steps_per_epoch) for e in c.boundaries]
    if c.schedule == "epoch_decay":
        rate = epoch_decay(c.learning_rate, c.decay, steps_per_epoch)
    elif c.schedule == "step_decay":
        rate = step_decay(c.learning_rate, c.decay, boundaries)
    elif c.schedule in SCHEDULES:
        rate = make_schedule(c.learning_rate, c.schedule, steps)
    else:
        raise ValueError(
            f"unknown optimizer.schedule {c.schedule!r}; known: {', '.join(SCHEDULES)}"
        )
    if c.reset_momentum and c.schedule != "step_decay":
        raise ValueError(
            "optimizer.reset_momentum starts it anew at the boundaries of step_decay, "
            f"and the schedule is {c.schedule!r}; set it to False"
        )
    return make_classifier_optimizer(
        c.name,
        rate,
        l2=c.l2,
        momentum=c.momentum,
        nesterov=c.nesterov,
        reset_at=boundaries if c.reset_momentum else (),
    )


def exposure_optimizer(config: ConfigDict, steps: int) -> optax.GradientTransformation:
    """The optimiser of `config.exposure`, which fine-tunes a trained network."""
    c = config.exposure
    rate = make_schedule(c.learning_rate, "cosine", steps)
    return make_classifier_optimizer("sgd", rate, l2=c.l2, nesterov=True)


def outlier_batch(config: ConfigDict) -> int:
    """Outliers that a step of Outlier Exposure sees."""
    return config.exposure.batch_size or 2 * config.train.batch_size


def step_and_batches(
    config: ConfigDict,
    module,
    optimizer: optax.GradientTransformation,
    x: np.ndarray,
    labels: np.ndarray,
    outliers: np.ndarray | None,
) -> tuple[Callable, Callable[[int], dict]]:
    """`(train_step, batches)` of labelled examples and, if there are any, outliers.

    Raises ValueError for an unknown augmentation, for one of what are no images, and
    for outliers that do not go with the examples.
    """
    name, batch_size = config.train.augment, config.train.batch_size
    if name not in AUGMENTATIONS:
        raise ValueError(
            f"unknown train.augment {name!r}; known: {', '.join(AUGMENTATIONS)}"
        )
    augment = AUGMENTATIONS[name]
    if augment and x.dtype != np.uint8:
        raise ValueError(f"train.augment={name!r} is of images; set it to 'none'")
    make_step = partial(make_classifier_step, module, optimizer, augment=augment)
    if outliers is None:
        batches = labelled_batches(x, labels, batch_size, config.seed)
        return make_step(objective=cross_entropy), batches
    batches = batches_with_outliers(
        x, labels, outliers, batch_size, outlier_batch(config), config.seed
    )
    objective = outlier_exposure(config.exposure.weight)
    return make_step(objective=objective), batches

"""The training of a classifier of a config, alone or with outliers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.core import build
from experiments.core.errors import UserError, user_errors
from experiments.core.sets import Sets
from flowjax_ood.training.batches import batches_with_outliers, labelled_batches
from flowjax_ood.training.inputs import crop_flip
from flowjax_ood.training.objectives import CrossEntropy, OutlierExposure
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state, fine_tuning_state
from flowjax_ood.training.step import make_train_step

AUGMENTATIONS = {"none": None, "crop_flip": crop_flip}


def classes(sets: Sets) -> int:
    """Classes of the training set; UserError where it has no labels."""
    if sets.train.labels is None:
        raise UserError(
            f"{sets.train.name}:{sets.train.split} has no labels, which a classifier "
            "needs"
        )
    return int(sets.train.labels.max()) + 1


def training(
    config: ConfigDict,
    sets: Sets,
    *,
    outliers: np.ndarray | None = None,
    start: dict | None = None,
) -> build.Training:
    """The training of the classifier of `config`, on all devices.

    Args:
        config: of a classifier.
        sets: those of the config; the training set has labels.
        outliers: uint8 `[M, H, W, C]`. With them it learns to be unsure of outliers
            (Outlier Exposure), by `exposure.weight` and `exposure.batch_size`.
        start: variables to train further, by the steps and the optimiser of
            `config.exposure`, in place of those of `config.train`.

    Raises:
        UserError: for whatever of `config` cannot be trained.
    """
    x, labels = sets.inputs(sets.train), sets.train.labels
    module = build.classifier(config, classes(sets), training=True)
    section = "train" if start is None else "exposure"
    steps = build.num_steps(config, len(x), section)
    size, seed = config.train.batch_size, config.seed
    more = {}
    if outliers is not None:
        more["outliers"] = config.exposure.batch_size or 2 * size
    parallel = build.parallel(config, **more)
    if start is None:
        optimizer = build.optimizer(config, steps, len(x) / size)
    else:
        optimizer = _exposure_optimizer(config, steps)
    augment = AUGMENTATIONS[config.train.augment]
    with user_errors("config", ValueError, TypeError):
        if outliers is None:
            batches = labelled_batches(x, labels, size, seed)
            objective = CrossEntropy(module, augment)
        else:
            batches = batches_with_outliers(
                x, labels, outliers, size, more["outliers"], seed
            )
            objective = OutlierExposure(module, augment, config.exposure.weight)
    keys = jax.random.split(build.random_key(seed))

    def initial():
        if start is not None:
            return fine_tuning_state(optimizer, start)
        # only its shape matters
        example = jnp.zeros((1, *x.shape[1:]), x.dtype)
        return create_state(module, optimizer, keys[0], example)

    with user_errors("config", ValueError, TypeError):
        jax.eval_shape(initial)
    return build.Training(
        initial=initial,
        train_step=make_train_step(objective, optimizer),
        batches=batches,
        plan=build.plan(config, steps),
        key=keys[1],
        batch_size=size,
        parallel=parallel,
        prefetch=build.prefetch(config),
    )


def _exposure_optimizer(config: ConfigDict, steps: int) -> optax.GradientTransformation:
    """The optimiser of `config.exposure`, which fine-tunes a trained network."""
    c = config.exposure
    with user_errors("config.exposure", ValueError, TypeError):
        return make_optimizer(
            make_schedule(c.learning_rate, "cosine", steps),
            name="sgd",
            clip_norm=0.0,
            l2=c.l2,
            scales_apart=False,
            nesterov=True,
        )

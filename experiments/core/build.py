"""From a config to the objects it describes, all checked before work starts."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.core.checks import check_norm_group
from experiments.core.errors import UserError, user_errors
from experiments.core.sets import Sets
from flowjax_ood import models
from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow
from flowjax_ood.evaluation.likelihood import evaluate_likelihood
from flowjax_ood.networks.convolution import LEAST_CHANNELS as WIDE
from flowjax_ood.precision import CONVOLUTIONS, FLOAT32, Precision, as_precision
from flowjax_ood.runtime.parallel import AXIS, Parallel
from flowjax_ood.training.batches import (
    batches_with_negatives,
    image_batches,
    vector_batches,
)
from flowjax_ood.training.early_stopping import Validation
from flowjax_ood.training.feed import check_reading
from flowjax_ood.training.objectives import Objective, mean_nll, negative_objective
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import TrainState, create_state
from flowjax_ood.training.step import make_train_step


def objective(config: ConfigDict, sets: Sets, dims: int) -> Objective:
    """That of maximum likelihood, or of negative training, for flows of `dims`.

    UserError for a threshold of negative training that is not finite.
    """
    if sets.negative is None:
        return mean_nll
    axis_name = None if config.parallel == "jit" else AXIS
    threshold = config.train.negative_threshold
    with user_errors("config.train.negative_threshold", ValueError):
        return negative_objective(dims, threshold, axis_name=axis_name)


def rows(config: ConfigDict, sets: Sets) -> int:
    """Rows of a batch: `train.batch_size`, and as many negatives, if any."""
    return config.train.batch_size * (1 if sets.negative is None else 2)


def epoch_length(sets: Sets) -> int:
    """Images to learn in an epoch, which ends with the smaller set (appendix B)."""
    if sets.negative is None:
        return len(sets.train)
    return min(len(sets.train), len(sets.negative))


# batches that are read before they are needed, where anything is read ahead
READ_AHEAD = 8


def _tabular_real_nvp(shape, **args) -> Flow:
    return models.TabularRealNVP(shape[0], **args)


MODELS = {
    "real_nvp": models.RealNVP,
    "glow": models.Glow,
    "tabular_real_nvp": _tabular_real_nvp,
}


def flow(
    config: ConfigDict,
    shape,
    *,
    training: bool = False,
    precision: Precision | None = None,
) -> Flow:
    """The flow of `config.model` for images of `shape` (H, W, C), or vectors (D,).

    `model.precision` is that of training alone: likelihoods that are reported come
    from float32. A `precision` asked for here is used as it is, its `convolution`, too,
    in place of all that. Raises UserError for a model that does not exist or does not
    fit the images.
    """
    args = config.model.to_dict()
    name, trained = args.pop("name", None), args.pop("precision", FLOAT32)
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    # what a config cannot say by None, it says by 0 and "none"
    if args.get("couplings") == 0:
        args["couplings"] = None
    if args.get("max_log_scale") == 0:
        args["max_log_scale"] = None
    if args.get("remat") == "none":
        args["remat"] = None
    args.pop("convolution", None)
    with user_errors("config.model", ValueError, TypeError):
        if precision is None:
            named = as_precision(trained) if training else FLOAT32
            precision = replace(named, convolution=convolution(config, training))
        args["precision"] = precision
        return MODELS[name](tuple(shape), **args)


def convolution(config: ConfigDict, training: bool) -> str:
    """The algorithm of `model.convolution`, "auto" resolved.

    On CPU, for flows of `width` 32 or more, that is Winograd's to evaluate, and to
    train where couplings are scanned: XLA's own is ten times slower inside a loop. For
    all else it is XLA's own: the training step of the paper's flow, which is bound by
    memory, was measured to be slower by Winograd's.
    """
    asked = config.model.get("convolution", "direct")
    if asked not in ("auto", *CONVOLUTIONS):
        raise UserError(
            f"unknown model.convolution {asked!r}; known: auto, "
            f"{', '.join(CONVOLUTIONS)}"
        )
    if asked != "auto":
        return asked
    wide = config.model.get("width", 0) >= WIDE and jax.default_backend() == "cpu"
    looped = config.model.get("stack") == "scan"
    return "winograd" if wide and (looped or not training) else "direct"


def num_steps(config: ConfigDict, num_images: int) -> int:
    """Steps to train for: `train.num_steps`, or else `num_epochs` over the images.

    Or over vectors, as many.
    """
    c = config.train
    steps = c.num_steps or math.ceil(c.num_epochs * num_images / c.batch_size)
    if steps < 1:
        raise UserError(f"nothing to train: {steps} steps; set config.train.num_steps")
    return steps


def random_key(seed: int) -> jax.Array:
    """A threefry key whatever JAX's default: dequantisation noise depends on it."""
    return jax.random.key(seed, impl="threefry2x32")


class Training(NamedTuple):
    """What the loop needs besides images or vectors."""

    initial: Callable[[], TrainState]
    step: Callable
    parallel: Parallel
    key: jax.Array
    num_steps: int
    validate: Validation | None = None


def training(config: ConfigDict, sets: Sets) -> Training:
    """Model, optimiser, step and placement for `config`, on all devices.

    Raises UserError for whatever of `config` cannot be trained.
    """
    steps = num_steps(config, epoch_length(sets))
    spread = parallel(config)
    model = flow(config, sets.event_shape, training=True)
    update = optimizer(config, steps)
    initial, _ = _initial_state(config, sets, model, update)
    step = make_train_step(
        model,
        update,
        objective=objective(config, sets, model.dims),
        ema_decay=config.optimizer.ema_decay,
    )
    validate = validation(config, sets, steps)
    return Training(initial, step, spread, _keys(config).step, steps, validate)


def batches(
    config: ConfigDict, sets: Sets, seed: int | None = None
) -> Callable[[int], dict]:
    """What each step of training sees, as a function of the step.

    Shuffled by `seed`, that of the config unless given.
    """
    seed = config.seed if seed is None else seed
    if sets.negative is not None:
        images, negatives = sets.train.images, sets.negative.images
        return batches_with_negatives(images, negatives, config.train.batch_size, seed)
    make = vector_batches if sets.standardizer else image_batches
    return make(sets.inputs(sets.train), config.train.batch_size, seed)


def feed_options(config: ConfigDict) -> dict[str, int]:
    """How `feed.Feed` reads the batches of training: `ahead`, `threads`, `workers`.

    By default, each in the step's own time where sets are in memory, and ahead of it
    where they are streamed, or workers read. Raises UserError for numbers that do not
    go together.
    """
    c = config.data
    ahead = c.read_ahead
    if ahead < 0:
        ahead = READ_AHEAD if c.streaming or c.read_workers else 0
    with user_errors("config.data.read_*", ValueError, ImportError):
        check_reading(ahead, c.read_threads, c.read_workers)
    return {"ahead": ahead, "threads": c.read_threads, "workers": c.read_workers}


def validation(config: ConfigDict, sets: Sets, num_steps: int) -> Validation | None:
    """Log-likelihood in nats of what is held back, its mean or, by
    `train.validate_by`, its median; None where nothing is held back.

    Of images it is of one draw of the dequantisation noise, that of `eval.seed`, at
    every look. Batch norm acts by its running statistics; those that results are of are
    recomputed over training batches, once, of the state that was chosen. Of several
    processes, all call it, each scores a part, and all get the score.
    """
    if sets.validation is None:
        return None
    c = config.train
    if c.validate_every > num_steps:
        raise UserError(
            f"config.train.validate_every={c.validate_every} is never reached in "
            f"{num_steps} steps; set it to less, or data.validation to 0"
        )
    statistic = {"mean": np.mean, "median": np.median}[c.validate_by]
    model, events = flow(config, sets.event_shape), sets.inputs(sets.validation)

    def score(variables) -> float:
        found = evaluate_likelihood(
            model,
            variables,
            events,
            key=random_key(config.eval.seed),
            batch_size=min(config.eval.batch_size, len(events)),
            parallel=Parallel("jit"),
            label=None,
        )
        return float(statistic(found.log_prob))

    return Validation(score, c.validate_every, c.patience)


def state_template(config: ConfigDict, sets: Sets) -> TrainState:
    """Shapes and dtypes of the state that training `config` keeps in checkpoints."""
    model = flow(config, sets.event_shape, training=True)
    # any length of training has this state, so it may as well be the shortest one
    update = optimizer(config, max(1, config.optimizer.warmup_steps))
    return _initial_state(config, sets, model, update)[1]


def parallel(config: ConfigDict) -> Parallel:
    """All devices, for batches of `train.batch_size`; UserError if it does not fit."""
    with user_errors("config", ValueError):
        spread = Parallel(config.parallel, fsdp=config.fsdp)
        spread.check_batch_size(config.train.batch_size)
    check_norm_group(config, len(spread.devices), examples=config.train.batch_size)
    return spread


def optimizer(config: ConfigDict, num_steps: int) -> optax.GradientTransformation:
    """The optimiser of `config.optimizer` with its schedule over `num_steps`."""
    c = config.optimizer.to_dict()
    del c["ema_decay"]
    schedule = {k: c.pop(k) for k in ("learning_rate", "schedule", "warmup_steps")}
    with user_errors("config.optimizer", ValueError, TypeError):
        return make_optimizer(make_schedule(num_steps=num_steps, **schedule), **c)


def _initial_state(config, sets, model, update):
    """`(function that makes the initial state, its shapes)`."""
    keys, events = _keys(config), sets.inputs(sets.train)
    # data-dependent initialisation is on what the first step sees
    first = batch_indices(len(events), config.train.batch_size, config.seed, 0)
    first = first.astype(np.int32)

    def initial():
        x = jnp.asarray(events[first])
        if x.dtype == jnp.uint8:
            x = dequantize(x, example_keys(keys.noise, first))
        average = config.optimizer.ema_decay > 0
        return create_state(model, update, keys.init, x, average=average)

    with user_errors("config.model", ValueError):
        # st-networks refuse sizes that do not fit when they are first called
        return initial, jax.eval_shape(initial)


class _Keys(NamedTuple):
    init: jax.Array
    noise: jax.Array
    step: jax.Array


def _keys(config: ConfigDict) -> _Keys:
    return _Keys(*jax.random.split(random_key(config.seed), 3))

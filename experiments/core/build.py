"""From a config to the objects it describes, all checked before work starts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.core.keys import Kind, kind
from experiments.core.memory import check_batches, check_state
from experiments.core.sets import Sets
from experiments.core.training_images import noise_on
from experiments.core.validation import validation
from flowjax_ood import models
from flowjax_ood.data.batching import batch_indices
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.distributions import Flow, one_hot_condition
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.models.cifar_resnet import ResNet34
from flowjax_ood.models.lenet import LeNet
from flowjax_ood.models.sequence_lstm import BiLSTM
from flowjax_ood.networks.convolution import LEAST_CHANNELS as WIDE
from flowjax_ood.precision import FLOAT32, Precision, as_precision
from flowjax_ood.runtime.parallel import AXIS, Parallel
from flowjax_ood.training.batches import (
    Batches,
    batches_with_negatives,
    image_batches,
    labelled_batches,
    vector_batches,
)
from flowjax_ood.training.early_stopping import Validation
from flowjax_ood.training.feed import Prefetch
from flowjax_ood.training.loop import Plan
from flowjax_ood.training.objectives import Likelihood, Negative, Objective
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import TrainState, create_state
from flowjax_ood.training.step import make_train_step

MODELS: dict[str, Any] = {
    "real_nvp": models.RealNVP,
    "glow": models.Glow,
    "jet": models.Jet,
    "maf": models.MAF,
    "tarflow": models.TarFlow,
    "flow_pp": models.FlowPP,
    "tabular_real_nvp": lambda shape, **args: models.TabularRealNVP(shape[0], **args),
    "lenet": LeNet,
    "resnet34": ResNet34,
    "bilstm": BiLSTM,
}
# arguments of classifiers that are not for a config to say
FIXED = ("parent", "name", "classes", "precision")
# batches that are read before they are needed, where anything is read ahead
READ_AHEAD = 8


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
    in place of all that. Raises UserError for a classifier, and for a flow that does
    not fit the images.
    """
    if kind(config).classifies:
        raise UserError("the config describes classifiers (config.detect), no flow")
    args = config.model.to_dict()
    name, trained = args.pop("name", None), args.pop("precision", FLOAT32)
    # a config cannot say None
    off = {"couplings": 0, "max_log_scale": 0, "soft_clip": 0, "remat": "none"}
    for key, none in off.items():
        if args.get(key) == none:
            args[key] = None
    args.pop("convolution", None)
    with user_errors("config.model", ValueError, TypeError):
        if precision is None:
            named = as_precision(trained) if training else FLOAT32
            precision = replace(named, convolution=convolution(config, training))
        args["precision"] = precision
        model = MODELS[name](tuple(shape), **args)
        data = config.get("data", {})
        if data.get("dequantization") == "variational":
            model = models.variationally_dequantized(
                model, bins=data.bins, precision=precision
            )
        if classes := data.get("classes", 0):
            # a class beyond is refused where sets are loaded
            absent = tuple(k for k in data.get("leave_out", ()) if k < classes)
            model = models.class_conditional(model, classes, data.condition, absent)
        return model


def classifier(
    config: ConfigDict, classes: int, *, training: bool = False
) -> nn.Module:
    """The module of `config.model`; UserError for arguments that it does not have.

    `model.precision`, where there is one, is that of training alone: what detectors
    read comes from float32.
    """
    args = config.model.to_dict()
    name, trained = args.pop("name", None), args.pop("precision", FLOAT32)
    with user_errors("config.model", ValueError, TypeError):
        make = MODELS[name]
        known = [f.name for f in fields(make) if f.name not in FIXED]
        if unknown := [key for key in args if key not in known]:
            raise UserError(
                f"config.model.{unknown[0]}: {name!r} has none such; known: "
                f"{', '.join(known)}"
            )
        # XLA's own convolution, where flows have a faster one to evaluate: detectors
        # take gradients, too, and those are slower with it
        precision = as_precision(trained) if training else FLOAT32
        return make(classes=classes, precision=precision, **args)


def convolution(config: ConfigDict, training: bool) -> str:
    """The algorithm of `model.convolution`, "auto" resolved.

    On CPU, for flows of `width` 32 or more, that is Winograd's to evaluate, and to
    train where couplings are scanned: XLA's own is ten times slower inside a loop.
    Others train by products: XLA's own forward, faster in the gradients of kernels
    (results/convolution_cpu.json). For all else, and elsewhere, it is XLA's own.
    """
    asked = config.model.get("convolution", "direct")
    if asked != "auto":
        return asked
    if jax.default_backend() != "cpu":
        return "direct"
    looped = config.model.get("stack") == "scan"
    if training and not looped:
        return "products"
    return "winograd" if config.model.get("width", 0) >= WIDE else "direct"


def num_steps(config: ConfigDict, count: int, section: str = "train") -> int:
    """Steps to train for: `num_steps`, or else `num_epochs` over `count` examples.

    `section` of the config: that has both.
    """
    c = config[section]
    steps = c.num_steps or math.ceil(c.num_epochs * count / config.train.batch_size)
    if steps < 1:
        raise UserError(
            f"nothing to train: {steps} steps; set config.{section}.num_steps"
        )
    return steps


def optimizer(
    config: ConfigDict, num_steps: int, steps_per_epoch: float = 1.0
) -> optax.GradientTransformation:
    """The optimiser of `config.optimizer` with its schedule over `num_steps`.

    `steps_per_epoch`: of a classifier, whose schedule may count epochs. Raises
    UserError for numbers out of range.
    """
    c = config.optimizer.to_dict()
    c.pop("ema_decay", None)
    with user_errors("config.optimizer", ValueError, TypeError):
        if kind(config).classifies:
            c = _in_steps(c, steps_per_epoch)
        names: tuple[str, ...] = ("learning_rate", "schedule", "warmup_steps", "decay")
        names += ("steps_per_epoch", "boundaries")
        schedule = {name: c.pop(name) for name in names if name in c}
        return make_optimizer(make_schedule(num_steps=num_steps, **schedule), **c)


def _in_steps(c: dict, steps_per_epoch: float) -> dict:
    """The settings of a classifier's optimiser, which count epochs, in steps."""
    reset, falls = c.pop("reset_momentum"), c["schedule"] == "step_decay"
    if reset and not falls:
        raise ValueError(
            "reset_momentum starts it anew at the boundaries of step_decay, and the "
            f"schedule is {c['schedule']!r}; set it to False"
        )
    epochs = c["boundaries"] if falls else ()
    boundaries = [math.ceil(epoch * steps_per_epoch) for epoch in epochs]
    return c | {
        "boundaries": boundaries,
        "steps_per_epoch": steps_per_epoch,
        "reset_at": boundaries if reset else (),
        "clip_norm": 0.0,
        "scales_apart": False,
    }


def random_key(seed: int) -> jax.Array:
    """A threefry key whatever JAX's default: dequantisation noise depends on it."""
    return jax.random.key(seed, impl="threefry2x32")


def parallel(
    config: ConfigDict, devices: Sequence | None = None, **rows: int
) -> Parallel:
    """All devices, or those given, for batches of `train.batch_size`.

    `rows`: how many more a batch has, by what they are. Raises UserError where they do
    not divide evenly, over the devices and each device's over groups of batch norm:
    in every mode of parallelism, so that a run may go on in another.
    """
    rows = {"examples": config.train.batch_size, **rows}
    with user_errors("config", ValueError):
        spread = Parallel(config.parallel, devices, fsdp=config.fsdp)
        for count in rows.values():
            spread.check_batch_size(count)
    number, group = len(spread.devices), config.model.get("norm_group", 0)
    for name, count in rows.items():
        each = count // number
        if group and each % group:
            raise UserError(
                f"config.model.norm_group={group} does not divide the {each} {name} of "
                f"a batch that each of {number} devices sees; take a divisor, or 0 for"
                " statistics of the whole batch"
            )
    return spread


def prefetch(config: ConfigDict) -> Prefetch:
    """How the batches of training are read ahead.

    By default, each in the step's own time where sets are in memory, and ahead of it
    where they are streamed, or workers read. Raises UserError for numbers that do not
    go together.
    """
    c = config.data
    default = READ_AHEAD if c.streaming or c.read_workers else 0
    ahead = default if c.read_ahead < 0 else c.read_ahead
    with user_errors("config.data.read_*", ValueError, ImportError):
        return Prefetch(ahead, c.read_threads, c.read_workers)


def plan(config: ConfigDict, num_steps: int) -> Plan:
    """How long to train, and when to log and save, by `config.train`."""
    c = config.train
    # classifiers, which are trained to the end, have no such key
    limit = {"max_seconds": c.get("max_seconds", 0.0)}
    often = (c.log_every, c.checkpoint_every, c.keep_checkpoints, c.steps_per_call)
    return Plan(num_steps, *often, **limit)


class Training(NamedTuple):
    """The arguments of `fit` that follow from a config."""

    initial: Callable[[], TrainState]
    train_step: Callable
    batches: Batches
    plan: Plan
    key: jax.Array
    batch_size: int
    parallel: Parallel
    prefetch: Prefetch
    validate: Validation | None = None


def training(config: ConfigDict, sets: Sets) -> Training:
    """The training of the flow of `config`, on all devices.

    Raises UserError for whatever of `config` cannot be trained.
    """
    kinds = [sets.train] if sets.negative is None else [sets.train, sets.negative]
    # an epoch ends with the smaller set (appendix B)
    steps = num_steps(config, min(len(images) for images in kinds))
    spread = parallel(config)
    model, update, initial, _ = _start(config, sets, steps)
    aim, decay = objective(config, sets, model), config.optimizer.ema_decay
    evaluated, noise = flow(config, sets.event_shape), random_key(config.eval.seed)
    return Training(
        initial=initial,
        train_step=make_train_step(aim, update, ema_decay=decay),
        batches=batches(config, sets),
        plan=plan(config, steps),
        key=jax.random.split(random_key(config.seed), 3)[2],
        batch_size=rows(config, sets),
        parallel=spread,
        prefetch=prefetch(config),
        validate=validation(config, sets, steps, evaluated, noise),
    )


def objective(config: ConfigDict, sets: Sets, model: Flow) -> Objective:
    """Maximum likelihood, or negative training where there are negatives.

    UserError for a threshold of negative training that is not finite, and for noise
    that a flow has no density of.
    """
    noise = noise_on(config, model, sets.negative)
    if sets.negative is None:
        return Likelihood(model, bins=sets.bins, noise=noise)
    axis_name = None if config.parallel == "jit" else AXIS
    with user_errors("config.train.negative_threshold", ValueError):
        return Negative(
            model, config.train.negative_threshold, axis_name, bins=sets.bins
        )


def batches(config: ConfigDict, sets: Sets, seed: int | None = None) -> Batches:
    """The batch of each training step, as a function of the step.

    Shuffled by `seed`, that of the config unless given. UserError for negatives of
    another shape than the images.
    """
    seed = config.seed if seed is None else seed
    size = config.train.batch_size
    if sets.negative is not None:
        images, negatives = sets.train.events, sets.negative.images
        with user_errors("config.train.negative", ValueError):
            return batches_with_negatives(images, negatives, size, seed)
    events = sets.inputs(sets.train)
    if config.data.get("classes"):
        return labelled_batches(events, sets.train_labels, size, seed)
    make = vector_batches if sets.kind is Kind.VECTORS else image_batches
    return make(events, size, seed)


def rows(config: ConfigDict, sets: Sets) -> int:
    """Rows of a batch: `train.batch_size`, and as many negatives, if any."""
    return config.train.batch_size * (1 if sets.negative is None else 2)


def state_template(config: ConfigDict, sets: Sets) -> TrainState:
    """Shapes and dtypes of the state that training `config` keeps in checkpoints."""
    # any length of training has this state, so it may as well be the shortest one
    return _start(config, sets, max(1, config.optimizer.warmup_steps))[3]


def _start(config, sets, steps):
    """`(flow, optimizer, initial() -> state, its shapes)` of a training of `steps`."""
    check_batches(config, sets.event_shape, prefetch(config).ahead)
    model = flow(config, sets.event_shape, training=True)
    update = optimizer(config, steps)
    # the third one is of all steps
    init_key, noise_key, _ = jax.random.split(random_key(config.seed), 3)
    events = sets.inputs(sets.train)
    # data-dependent initialisation is on what the first step sees
    first = batch_indices(len(events), config.train.batch_size, config.seed, 0)
    first = first.astype(np.int32)

    classes = config.data.get("classes", 0)

    def initial():
        x, cond = jnp.asarray(events[first]), None
        if sets.kind is Kind.IMAGES:
            x = dequantize(x, example_keys(noise_key, first), sets.bins)
        average = config.optimizer.ema_decay > 0
        if classes:
            cond = one_hot_condition(sets.train_labels[first], classes)
        return create_state(model, update, init_key, x, cond, average=average)

    with user_errors("config.model", ValueError):
        # st-networks refuse sizes that do not fit when they are first called
        shapes = jax.eval_shape(initial)
    check_state(shapes)
    return model, update, initial, shapes

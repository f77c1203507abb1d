"""From a config to the objects it describes, all checked before work starts."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.config import UserError
from flowjax_ood import data, models
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.data.image_set import ImageSet
from flowjax_ood.distributions import Flow
from flowjax_ood.training.optimizer import make_optimizer, make_schedule
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


class Sets(NamedTuple):
    """The image sets of an experiment; `ood` by the name they are reported under."""

    train: ImageSet
    test: ImageSet
    ood: dict[str, ImageSet]


def image_sets(config: ConfigDict) -> Sets:
    """Load and cross-check the sets. Raises UserError naming the remedy."""
    c = config.data
    if not c.ood:
        raise UserError("config.data.ood names no set; give at least one")

    def load(spec, limit):
        return data.load(
            spec,
            source=c.source,
            path=c.path or None,
            limit=limit or None,
            image_size=c.image_size or None,
            seed=config.seed,
        )

    try:
        train, test = load(c.train, c.limit_train), load(c.test, c.limit_test)
        # a split is part of the name only where one set is read twice
        names = [spec.partition(":")[0] for spec in c.ood]
        names = [n if names.count(n) == 1 else s for n, s in zip(names, c.ood)]
        loaded = [load(spec, c.limit_test) for spec in c.ood]
        ood = dict(zip(names, loaded, strict=True))
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UserError(str(error)) from error
    shape = train.images.shape[1:]
    for image_set in (test, *ood.values()):
        found = image_set.images.shape[1:]
        if found != shape:
            raise UserError(
                f"{image_set.name}:{image_set.split} has images of shape {found}, the "
                f"training set {shape}; set config.data.image_size, or compare sets "
                "with the same number of channels"
            )
    return Sets(train, test, ood)


def flow(config: ConfigDict, shape, *, training: bool = False) -> Flow:
    """The flow of `config.model`; reduced precision applies in training alone."""
    args = config.model.to_dict()
    name, dtype = args.pop("name"), args.pop("dtype")
    if name != "real_nvp":
        raise UserError(f"unknown model {name!r}; known: 'real_nvp'")
    if dtype not in DTYPES:
        raise UserError(f"unknown model.dtype {dtype!r}; known: {', '.join(DTYPES)}")
    args["couplings"] = args["couplings"] or None
    args["dtype"] = DTYPES[dtype] if training else None
    try:
        return models.RealNVP(tuple(shape), **args)
    except ValueError as error:
        raise UserError(f"config.model: {error}") from error


def num_steps(config: ConfigDict, num_images: int) -> int:
    """Steps to train for: `train.num_steps`, or else `num_epochs` over the images."""
    c = config.train
    steps = c.num_steps or math.ceil(c.num_epochs * num_images / c.batch_size)
    if steps < 1:
        raise UserError(f"nothing to train: {steps} steps; set config.train.num_steps")
    return steps


def random_key(seed: int) -> jax.Array:
    """A threefry key whatever JAX's default: dequantisation noise depends on it."""
    return jax.random.key(seed, impl="threefry2x32")


class Training(NamedTuple):
    """What the loop needs besides images."""

    initial: callable
    step: callable
    parallel: Parallel
    key: jax.Array
    num_steps: int


def training(config: ConfigDict, sets: Sets) -> Training:
    """Model, optimiser, step and placement for `config`, on all devices."""
    c = config.optimizer.to_dict()
    steps = num_steps(config, len(sets.train))
    ema = c.pop("ema_decay")
    schedule = {k: c.pop(k) for k in ("learning_rate", "schedule", "warmup_steps")}
    try:
        parallel = Parallel(config.parallel)
        parallel.check_batch_size(config.train.batch_size)
        optimizer = make_optimizer(make_schedule(num_steps=steps, **schedule), **c)
    except ValueError as error:
        raise UserError(f"config: {error}") from error
    model = flow(config, sets.train.images.shape[1:], training=True)
    key = random_key(config.seed)
    init_key, noise_key, step_key = jax.random.split(key, 3)
    first = sets.train.images[: config.train.batch_size]

    def initial():
        keys = example_keys(noise_key, jnp.arange(len(first)))
        x = dequantize(jnp.asarray(first), keys)
        return create_state(model, optimizer, init_key, x, average=ema > 0)

    step = make_train_step(model, optimizer, ema_decay=ema)
    return Training(initial, step, parallel, step_key, steps)

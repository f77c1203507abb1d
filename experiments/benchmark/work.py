"""The computation of a case: its function, its arguments, its arithmetic."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.benchmark.cases import Case
from experiments.core import build
from flowjax_ood import data
from flowjax_ood.analysis.flops import count_flops
from flowjax_ood.bijectors import InvertibleConv1x1, restack, walk
from flowjax_ood.data.dequantize import dequantize, example_keys
from flowjax_ood.data.preprocess import with_depth
from flowjax_ood.distributions import Flow
from flowjax_ood.interface.errors import UserError, user_errors
from flowjax_ood.runtime.parallel import Parallel
from flowjax_ood.training.objectives import Likelihood
from flowjax_ood.training.state import TrainState, create_state, parameter_count
from flowjax_ood.training.step import make_train_step

# images of a batch that are not copies of others: no matter for speed
DIFFERENT = 256


class Work(NamedTuple):
    """A case, built: nothing of it has been computed yet.

    `fn` is pure, of `(state, batch, key)` in training, `(variables, batch, key)` in
    evaluation, and `(variables, keys)` in sampling, with a key for each device. Of
    training it is a single step, whatever `steps`.
    """

    mode: str
    config: ConfigDict
    image_shape: tuple[int, int, int]
    flow: Flow
    optimizer: optax.GradientTransformation
    parallel: Parallel
    fn: Callable

    @property
    def steps(self) -> int:
        """Training steps in a call."""
        return self.config.train.get("steps_per_call", 1)


class Counts(NamedTuple):
    """Facts about a case before it runs; FLOPs are of a call, on all devices.

    `flops` are the model's, `executed_flops` with what rematerialisation and reversible
    back-propagation compute once more.
    """

    image_shape: tuple[int, int, int]
    parameters: int
    flops: int
    executed_flops: int


def build_work(case: Case) -> Work:
    """The objects of a case; raises UserError where its config does not fit together.

    Every call makes a new function, whose tracing no cache of JAX's can shorten.
    """
    config = _resolved(case)
    parallel = build.parallel(config, jax.devices()[: case.settings.get("devices")])
    shape, bins = tuple(fake_images(config, 1).shape[1:]), _bins(config)
    # every mode in the precision that is swept, evaluation too
    flow = build.flow(config, shape, training=True)
    # any length will do, but the schedule must have room for its warm-up
    optimizer = build.optimizer(config, 1_000_000 + config.optimizer.warmup_steps)
    if case.mode == "train":
        average = config.optimizer.ema_decay
        fn = make_train_step(Likelihood(flow, bins=bins), optimizer, ema_decay=average)
    elif case.mode == "evaluate":

        def fn(variables, batch, key):
            keys = example_keys(key, batch["index"])
            x = dequantize(batch["image"], keys, bins)
            return flow.apply(variables, x)

    else:
        each = config.train.batch_size // len(parallel.devices)

        def fn(variables, keys):
            def draw(key):
                return flow.apply(variables, key, each, method="sample")

            return jax.vmap(draw)(keys)

    return Work(case.mode, config, shape, flow, optimizer, parallel, fn)


def count(case: Case) -> Counts:
    """Trace a case without computing anything.

    Raises UserError where the model cannot do what the case asks of it.
    """
    plain = _resolved(case)
    # a fast algorithm does the model's work in fewer operations, not less work
    plain.model.convolution = "direct"
    if case.mode == "train" and "+" in case.settings["stack"]:
        plain.model.update(remat="none", reversible=False)
    with user_errors("config.model", ValueError, TypeError):
        work = build_work(case)
        args = shapes(work)
        executed = flops = count_flops(work.fn, *args)
        if plain != work.config:
            model = build_work(case._replace(config=plain))
            flops = count_flops(model.fn, *args)
    params = args[0].params if case.mode == "train" else args[0]["params"]
    return Counts(work.image_shape, parameter_count(params), flops, executed)


def _resolved(case: Case) -> ConfigDict:
    """A copy of the case's config, convolving as the commands do in its mode."""
    config = ConfigDict(case.config.to_dict())
    if config.data.get("classes"):
        raise UserError(
            f"config.data.classes={config.data.classes}: `benchmark` times flows "
            "without classes; leave it at 0"
        )
    training = case.mode == "train"
    config.model.convolution = build.convolution(config, training)
    return config


def arguments(work: Work, batch: dict) -> tuple:
    """The arguments of `work.fn` as they are at the start, not yet placed on devices.

    They follow from `batch` and the config's seed alone, and all stackings of a flow
    start with the same parameters.
    """
    key = build.random_key(work.config.seed)
    noise = example_keys(key, jnp.asarray(batch["index"]))
    x = dequantize(jnp.asarray(batch["image"]), noise, _bins(work.config))
    state = _initial_state(work, key, x)
    if work.mode == "train":
        return state, batch, key
    variables = state.variables(average=False)
    if work.mode == "evaluate":
        return variables, batch, key
    return variables, jax.random.split(key, len(work.parallel.devices))


def shapes(work: Work) -> tuple:
    """`arguments` as `jax.ShapeDtypeStruct`s: nothing is computed."""
    return jax.eval_shape(partial(arguments, work), fake_batch(work))


def fake_batch(work: Work) -> dict:
    """A batch of fake images `[B, H, W, C]`, as stored, with their numbers `[B]`."""
    size = work.config.train.batch_size
    images = fake_images(work.config, min(size, DIFFERENT))
    return {
        "image": np.resize(images, (size, *work.image_shape)),
        "index": np.arange(size, dtype=np.int32),
    }


def fake_images(config: ConfigDict, count: int) -> np.ndarray:
    """Fake images `[count, H, W, C]`, of the shape and depth of the config's own."""
    c = config.data
    with user_errors("config.data", ValueError, TypeError):
        images = data.load(
            c.train,
            source="synthetic",
            limit=count,
            image_size=c.image_size or None,
            seed=config.seed,
        ).images
    return with_depth(images, _bins(config))


def _bins(config: ConfigDict) -> int:
    """Values of a pixel; configs that the benchmark refuses have no such key."""
    return config.data.get("bins", 256)


def _initial_state(work: Work, key, x) -> TrainState:
    """The state at step 0; of a chain by way of a scan over its couplings.

    Initialising 64 separate couplings is a program that compiles for minutes.
    """
    config = ConfigDict(work.config.to_dict())

    def create(flow: Flow) -> TrainState:
        average = config.optimizer.ema_decay > 0
        return create_state(flow, work.optimizer, key, x, average=average)

    # each "plu" convolution of a chain is fixed by its own seed
    convolutions = [
        b for _, b in walk(work.flow.bijector) if isinstance(b, InvertibleConv1x1)
    ]
    seeded = any(convolution.mode == "plu" for convolution in convolutions)
    shapes_alone = isinstance(x, jax.core.Tracer)
    if config.model.get("stack") != "chain" or seeded or shapes_alone:
        return create(work.flow)
    config.model.stack = "scan"
    twin = build.flow(config, work.image_shape, training=True)
    state = jax.device_get(create(twin))

    def chained(tree):
        layers = restack(twin.bijector, tree["bijector"], work.flow.bijector)
        return tree | {"bijector": layers}

    params = chained(state.params)
    return state.replace(
        params=params,
        batch_stats=state.batch_stats and chained(state.batch_stats),
        opt_state=work.optimizer.init(params),
        ema=state.ema and params,
    )

"""Training a classifier: its state, its pure step, and its accuracy.

optimizer = make_classifier_optimizer("adadelta", epoch_decay(1.0, 0.7, 937.5))
initial = partial(create_classifier_state, LeNet(), optimizer, key, images[:1])
step = make_classifier_step(LeNet(), optimizer)
run = fit(initial, step, labelled_batches(images, labels, 64, seed=0), ...)
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from flowjax_ood.data.batching import padded_batches
from flowjax_ood.data.dequantize import example_keys
from flowjax_ood.ood.network import as_input
from flowjax_ood.training.batches import check_labels
from flowjax_ood.training.parallel import Parallel
from flowjax_ood.training.processes import fetch
from flowjax_ood.training.progress import progress
from flowjax_ood.training.state import TrainState, initial_state
from flowjax_ood.training.step import Batch, Reduce

# (class scores [B, C], the batch) -> (loss, metrics)
ClassifierObjective = Callable[[jax.Array, Batch], tuple[jax.Array, dict]]
# (uint8 [B, H, W, C], one key an image) -> uint8 [B, H, W, C]
Augment = Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(logits: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
    """The mean of `-log p(label)`, nats; `logits [B, C]`, `batch["label"]` int `[B]`.

    Metrics: `accuracy`, the fraction whose largest score is the label's. A label of no
    class makes the loss NaN. Raises ValueError for a batch with outliers.
    """
    labels = batch["label"]
    if "outlier" in batch:
        raise ValueError(
            "a batch with outliers needs objective=outlier_exposure(), which tells "
            "their scores from those of labelled images"
        )
    # a sum over classes rather than a look-up: a split batch stays where it is
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    log_prob = jnp.sum(own * jax.nn.log_softmax(logits), -1)
    known = (labels >= 0) & (labels < logits.shape[-1])
    right = jnp.argmax(logits, -1) == labels
    accuracy = jnp.mean(right, dtype=jnp.float32)
    return -jnp.mean(jnp.where(known, log_prob, jnp.nan)), {"accuracy": accuracy}


def create_classifier_state(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    x: jax.Array,
) -> TrainState:
    """Initial state; of `x`, what the module is trained with, only the shape matters.

    Images uint8 `[B, H, W, C]`, or floating-point in [0, 1], or tokens int `[B, L]`.
    """
    return initial_state(module.init, optimizer, key, as_input(x))


def fine_tuning_state(
    optimizer: optax.GradientTransformation, variables: dict
) -> TrainState:
    """The state at step 0 of a training that goes on from `variables`.

    Of copies: a training step may take its state's memory for the next one.
    """
    variables = jax.tree.map(jnp.copy, variables)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        ema={},
    )


def make_classifier_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    augment: Augment | None = None,
    objective: ClassifierObjective = cross_entropy,
) -> Callable[..., tuple[TrainState, dict]]:
    """`train_step(state, batch, key, reduce) -> (state, metrics)`, as of flows.

    Minimises `objective(logits, batch) -> (loss, metrics)`, `cross_entropy` unless
    given. `logits [B, C]` are those of `batch["image"]`, uint8 `[B, H, W, C]`, divided
    by 255 here, or of `batch["x"]`, such as tokens int32 `[B, L]`, as it is. Where the
    batch has `outlier`, more images, their logits are the rows after the first B: they
    pass the module together, so that batch norm of the whole batch sees both.

    `augment(images, keys)` changes the images first, by keys that depend on `(key,
    state.step, batch["index"])` alone (of outliers, `outlier_index`): the same however
    the batch is split. Dropout draws from a stream of its own, of the same three; it
    differs between devices.

    Metrics are scalars: `loss`, `grad_norm`, and those of the objective. Raises
    ValueError, at the first step, for `augment` where there are no images.
    """

    def train_step(state: TrainState, batch: Batch, key, reduce: Reduce = lambda t: t):
        step_key = jax.random.fold_in(key, state.step)
        x = _inputs(batch, step_key, augment)
        # as in make_train_step: no example has number 2^32 - 1
        own = jax.random.fold_in(step_key, 2**32 - 1)
        rngs = {"dropout": jax.random.fold_in(own, batch["index"][0])}

        def loss_fn(params):
            logits, updates = module.apply(
                {"params": params, "batch_stats": state.batch_stats},
                x,
                mutable=["batch_stats"],
                rngs=rngs,
            )
            loss, more = objective(logits, batch)
            return loss, (updates, more)

        (loss, (updates, more)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        metrics = {"loss": loss, **more}
        batch_stats = updates.get("batch_stats", {})
        grads, metrics, batch_stats = reduce((grads, metrics, batch_stats))
        metrics["grad_norm"] = optax.tree.norm(grads)
        changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        new = TrainState(state.step + 1, params, batch_stats, opt_state, state.ema)
        return new, metrics

    return train_step


def _inputs(batch: Batch, step_key, augment: Augment | None) -> jax.Array:
    """What the module sees of a batch: its examples, and after them its outliers."""
    if "x" in batch:
        if augment:
            raise ValueError('augment takes images, but the batch has "x", no "image"')
        return batch["x"]

    def images(kind, index):
        if augment is None:
            return batch[kind]
        return augment(batch[kind], example_keys(step_key, batch[index]))

    own = images("image", "index")
    if "outlier" in batch:
        own = jnp.concatenate([own, images("outlier", "outlier_index")])
    return as_input(own)


def predict_logits(
    module: nn.Module,
    variables: dict,
    examples: np.ndarray,
    batch_size: int,
    label: str | None = None,
    parallel: Parallel | None = None,
) -> np.ndarray:
    """Class scores of every example, once and in order: float32 `[N, C]`.

    `examples`: uint8 images `[N, H, W, C]`, or what the module takes as it is, equal on
    every process. Running batch statistics, no dropout. Progress is shown under
    `label`, if it is given. `parallel`: the devices that share every batch, which is
    filled up to a multiple of them; None is this process's first one.
    """
    found, done = [], 0
    if parallel is not None:
        variables = parallel.place_copies(variables)
        batch_size = -(-batch_size // len(parallel.devices)) * len(parallel.devices)

    def place(rows):
        return rows if parallel is None else parallel.place_rows(rows)

    silent = nullcontext(None)
    with progress(label, len(examples), "images") if label else silent as shown:
        for at, mask in padded_batches(len(examples), batch_size):
            logits = fetch(_logits(module, variables, place(examples[at])))
            found.append(np.asarray(logits, np.float32)[mask])
            done += int(mask.sum())
            if shown:
                shown.advance(done)
    return np.concatenate(found)


def evaluate_accuracy(
    module: nn.Module,
    variables: dict,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    label: str | None = None,
    parallel: Parallel | None = None,
) -> float:
    """The fraction of `images` whose largest class score is that of their label.

    As `predict_logits`, of which see. Raises ValueError unless there is a label, a
    non-negative integer, for each image.
    """
    labels = check_labels(labels, len(images))
    logits = predict_logits(module, variables, images, batch_size, label, parallel)
    return float(np.mean(logits.argmax(-1) == labels))


@partial(jax.jit, static_argnums=0)
def _logits(module, variables, x):
    return module.apply(variables, as_input(x))

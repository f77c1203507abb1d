"""The attack: a classifier trained on another's answers to images at hand."""

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from flowjax_ood.arguments import whole_number
from flowjax_ood.defence.answers import Output, answer, check_output, checked_shape
from flowjax_ood.evaluation.accuracy import predict_logits
from flowjax_ood.runtime.progress import progress
from flowjax_ood.training.batches import Stream
from flowjax_ood.training.classifier_objectives import CrossEntropy
from flowjax_ood.training.objectives import Batch
from flowjax_ood.training.optimizers import make_optimizer, make_schedule
from flowjax_ood.training.state import create_state
from flowjax_ood.training.step import make_train_step

# steps between looks at the loss
CHUNK = 50
# images that the clone predicts together
TOGETHER = 250


class Target(Protocol):
    """Anything that answers queries, such as `Served` and `Clone`."""

    def predict(self, x: np.ndarray, output: Output = ...) -> np.ndarray: ...


@dataclass(frozen=True)
class Imitation(CrossEntropy):
    """The mean of `KL(answer || softmax(z))`, nats; `answer` `[B, C]` probabilities.

    Of answers that are certain it is their cross-entropy. Metric: `agreement`, the
    fraction whose largest score is the answer's.
    """

    needs: ClassVar = ("image or x", "index", "answer")
    made_by: ClassVar = "knockoff"

    def loss(self, outputs: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        p = batch["answer"]
        # 0 log 0 is 0
        log_p = jnp.log(jnp.where(p > 0, p, 1.0))
        divergence = jnp.sum(p * (log_p - jax.nn.log_softmax(outputs)), axis=-1)
        same = jnp.argmax(outputs, -1) == jnp.argmax(p, -1)
        agreement = jnp.mean(same, dtype=jnp.float32)
        return jnp.mean(divergence), {"agreement": agreement}


@dataclass(frozen=True, eq=False)
class Clone:
    """A classifier that was trained on another's answers; it answers as `Served` does.

    `queries`: how many were asked. `loss`: the mean of the last steps, nats.
    """

    module: nn.Module
    variables: Any = field(repr=False)
    queries: int
    loss: float

    def predict(self, x: np.ndarray, output: Output = "probabilities") -> np.ndarray:
        """Probabilities float32 `[N, C]`, or labels int64 `[N]`."""
        check_output(output)
        logits = predict_logits(self.module, self.variables, x, TOGETHER)
        return answer(logits, output)


def knockoff(
    target: Target,
    queries: np.ndarray,
    *,
    student: nn.Module,
    steps: int,
    seed: int,
    output: Output = "probabilities",
    repeats: int = 1,
    jitter: int = 0,
    batch_size: int = 64,
    optimizer: optax.GradientTransformation | None = None,
    label: str | None = None,
) -> Clone:
    """Train `student` on the answers of `target`: a clone, by nothing but queries.

    Minimises `mean KL(answer || softmax(student))`, the cross-entropy where answers are
    labels. The same arguments give the same clone.

    Args:
        target: what is asked, such as `Served`.
        queries: uint8 images `[N, H, W, C]`, asked once, before training.
        student: a classifier of as many classes.
        steps: of training.
        seed: of the student's start, the order of the queries and `jitter`.
        output: what the target answers, "probabilities" or "label".
        repeats: how often an image is asked; answers are averaged. From the second time
            on with noise, against a member that depends on every pixel.
        jitter: the largest change of a pixel by that noise, in levels of 255; drawn
            uniformly, and cut at black and white.
        batch_size: images a step.
        optimizer: Adam at 1e-3, to 0 by half a cosine, where there is none.
        label: of the progress that is shown; None shows none.

    Raises:
        ValueError: for queries that are no uint8 images or of another shape than the
            target and the student take, for other numbers of classes, repeats without
            jitter, and training that does not stay finite.

    Source: Orekondy, Schiele & Fritz 2019, "Knockoff nets", with random queries.
    """
    whole_number("steps", steps, 1)
    whole_number("batch_size", batch_size, 1)
    _check_queries(queries)
    one = jax.ShapeDtypeStruct((1, *queries.shape[1:]), jnp.float32)
    key = jax.random.key(seed)
    logits = partial(_first_logits, student, key)
    classes = checked_shape(logits, one, "the student")
    answers = ask(target, queries, classes, output, repeats, jitter, seed)
    if optimizer is None:
        begin, advance = _adam(student, steps)
    else:
        begin, advance = _programs(student, optimizer)
    state = begin(key, jnp.zeros(one.shape, one.dtype))
    batches = Stream({"image": queries, "answer": answers}, batch_size, seed)
    with progress(label, steps, "steps") as shown:
        for done in range(0, steps, CHUNK):
            count = min(CHUNK, steps - done)
            losses = []
            for step in range(done, done + count):
                state, metrics = advance(state, batches(step), key)
                losses.append(metrics["loss"])
            loss = float(np.mean(jax.device_get(losses)))
            if not np.isfinite(loss):
                raise ValueError(
                    f"training of the clone is not finite after {done + count} steps: "
                    "give an optimizer of a smaller rate"
                )
            shown.advance(done + count, nats=f"{loss:.3f}")
    return Clone(student, state.variables(), repeats * len(queries), loss)


def ask(
    target: Target,
    queries: np.ndarray,
    classes: int,
    output: Output = "probabilities",
    repeats: int = 1,
    jitter: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Mean answers of the target to queries, float32 `[N, C]`: see `knockoff`.

    Labels are counted: of one, the answer is certain. Raises ValueError as `knockoff`
    does.
    """
    check_output(output)
    whole_number("repeats", repeats, 1)
    if not 0 <= whole_number("jitter", jitter) <= 255:
        raise ValueError(f"jitter must be 0 to 255 levels, got {jitter}")
    if (repeats > 1) != (jitter > 0):
        raise ValueError(
            f"repeats={repeats} and jitter={jitter}: an image is asked again where it "
            "is changed, so repeats above 1 go with a jitter above 0"
        )
    rng, total = np.random.default_rng(seed), np.zeros(())
    for time in range(repeats):
        asked = queries
        if time:
            noise = rng.integers(-jitter, jitter + 1, queries.shape, np.int16)
            asked = np.clip(queries + noise, 0, 255).astype(np.uint8)
        total = total + _probabilities(target.predict(asked, output), classes, output)
    return np.asarray(total / repeats, np.float32)


def _probabilities(answers, classes, output) -> np.ndarray:
    if output == "label":
        if answers.max() >= classes:
            raise ValueError(
                f"the student has {classes} classes, the target answers class "
                f"{answers.max()}"
            )
        return np.eye(classes)[answers]
    if answers.shape[1] != classes:
        raise ValueError(
            f"the student has {classes} classes, the target {answers.shape[1]}"
        )
    return np.asarray(answers, np.float64)


def _programs(student, optimizer) -> tuple:
    """`(begin(key, x) -> state, advance(state, batch, key))`, compiled when called."""
    begin = jax.jit(partial(create_state, student, optimizer))
    return begin, jax.jit(make_train_step(Imitation(student), optimizer))


@lru_cache(maxsize=8)
def _adam(student, steps: int) -> tuple:
    """Compiled once for all clones of that many steps: of a sweep over targets, say."""
    rate = make_schedule(1e-3, "cosine", steps)
    return _programs(student, make_optimizer(rate, l2=0.0, scales_apart=False))


def _first_logits(student, key, x):
    return student.init_with_output(key, x)[0]


def _check_queries(queries) -> None:
    dtype, shape = getattr(queries, "dtype", None), np.shape(queries)
    if dtype != np.uint8 or len(shape) != 4 or not shape[0]:
        raise ValueError(
            f"queries must be uint8 [N, H, W, C], got {dtype} of shape {shape}"
        )

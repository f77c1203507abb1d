"""A generator of features by class, trained against a head that tells classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from flowjax_ood.arguments import whole_number
from flowjax_ood.training.classifier_objectives import cross_entropy
from flowjax_ood.training.objectives import Batch
from flowjax_ood.training.state import TrainState
from flowjax_ood.training.step import make_train_step


class FeatureGenerator(nn.Module):
    """`G(u, y) = out(relu(norm(hidden([u, onehot(y)]))))`, u uniform on [0, 1).

    `apply(variables, labels, key)` gives features `[B, features]` of labels int `[B]`.
    Row i has noise of its own, that of `fold_in(key, i)`: it is the same in a batch of
    any size. `positive` ends in a ReLU, as features after one do.

    The published generator has batch norm; layer norm here keeps rows apart. Source: Yu
    et al. 2023, section 4.1.
    """

    classes: int
    features: int
    noise: int = 64
    hidden: int = 512
    positive: bool = True

    def __post_init__(self):
        super().__post_init__()
        whole_number("classes", self.classes, 2)
        for name in ("features", "noise", "hidden"):
            whole_number(name, getattr(self, name), 1)

    @nn.compact
    def __call__(self, labels: jax.Array, key: jax.Array) -> jax.Array:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(labels)))
        u = jax.vmap(lambda key: jax.random.uniform(key, (self.noise,)))(keys)
        x = jnp.concatenate([u, jax.nn.one_hot(labels, self.classes)], axis=1)
        x = nn.relu(nn.LayerNorm()(nn.Dense(self.hidden)(x)))
        x = nn.Dense(self.features)(x)
        return nn.relu(x) if self.positive else x


@dataclass(frozen=True)
class _KnownClass:
    """Cross-entropy of `features @ W + b` with the class that was asked for."""

    module: FeatureGenerator
    method: ClassVar = None
    needs: ClassVar = ("label", "index", "head")
    made_by: ClassVar = "make_generator_step"

    def inputs(self, batch: Batch, step_key: jax.Array) -> tuple:
        return batch["label"], step_key

    def loss(self, outputs: jax.Array, batch: Batch) -> tuple[jax.Array, dict]:
        w, b = batch["head"]
        return cross_entropy(outputs @ w + b, batch["label"])


def make_generator_step(
    generator: FeatureGenerator, optimizer: optax.GradientTransformation
) -> Callable[..., tuple[TrainState, dict]]:
    """`step(state, labels, head, key) -> (state, metrics)`: pure, for `jax.jit`.

    Minimises `E CE(softmax(G(u, y) W + b), y)` over the generator; the head `(W [D, C],
    b [C])` is fixed. `labels` int `[B]`: the classes y to ask for. Noise depends on
    `(key, state.step, row)`. Metrics: `loss`, `accuracy` of the head, `grad_norm`.
    Source: Yu et al. 2023, equation 4.
    """
    train_step = make_train_step(_KnownClass(generator), optimizer)

    def step(state: TrainState, labels: jax.Array, head: tuple, key: jax.Array):
        index = jnp.arange(len(labels), dtype=jnp.int32)
        batch = {"label": labels, "index": index, "head": head}
        return train_step(state, batch, key)

    return step

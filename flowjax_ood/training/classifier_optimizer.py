"""The recipes that published classifiers are trained with, as optax transformations.

LeNet of FSSD: `make_classifier_optimizer("adadelta", epoch_decay(1.0, 0.7, 937.5))`;
ResNet-34 on CIFAR-10: `make_classifier_optimizer("sgd", step_decay(0.1, 0.1, at),
l2=5e-4, reset_at=at)`; Outlier Exposure: `make_classifier_optimizer("sgd",
make_schedule(1e-3, "cosine", num_steps), l2=5e-4, nesterov=True)`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

NAMES = ("adadelta", "sgd", "adam")


def epoch_decay(
    learning_rate: float, factor: float, steps_per_epoch: float
) -> optax.Schedule:
    """`learning_rate * factor ** floor(step / steps_per_epoch)`, step from 0.

    `steps_per_epoch` need not be whole: 60,000 images in batches of 64 are 937.5. A
    step belongs to the epoch in which its batch begins. Raises ValueError unless all
    three are positive and finite.
    """
    _check_positive(
        learning_rate=learning_rate, factor=factor, steps_per_epoch=steps_per_epoch
    )

    def rate(step):
        return learning_rate * factor ** jnp.floor(step / steps_per_epoch)

    return rate


def step_decay(
    learning_rate: float, factor: float, boundaries: Sequence[int]
) -> optax.Schedule:
    """`learning_rate * factor ** (number of boundaries <= step)`, step from 0.

    Raises ValueError for numbers that are not positive, and unless the boundaries rise.
    """
    _check_positive(learning_rate=learning_rate, factor=factor)
    boundaries = _check_rising("boundaries", boundaries)

    def rate(step):
        passed = sum((step >= at) * 1.0 for at in boundaries)
        return learning_rate * factor**passed

    return rate


def make_classifier_optimizer(
    name: str,
    learning_rate: float | optax.Schedule,
    *,
    l2: float = 0.0,
    momentum: float = 0.9,
    nesterov: bool = False,
    reset_at: Sequence[int] = (),
) -> optax.GradientTransformation:
    """Add L2 to the gradient, precondition, step: in the order torch does it.

    * "adadelta": rho 0.9, eps 1e-6 (Zeiler 2012);
    * "sgd": `momentum`, `nesterov` or not. At the steps `reset_at`, counted from 0, the
      momentum starts anew, as where a training script makes another optimiser;
    * "adam": 0.9, 0.999, eps 1e-8.

    `l2` decays all parameters. Raises ValueError for unknown names, for numbers out of
    range, and for `nesterov` or `reset_at` of anything but "sgd" with momentum.
    """
    if name not in NAMES:
        raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(NAMES)}")
    if not callable(learning_rate):
        _check_positive(learning_rate=learning_rate)
    if not 0 <= l2 < math.inf:
        raise ValueError(f"l2 must not be negative or infinite, got {l2}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
    reset_at = _check_rising("reset_at", reset_at)
    if (nesterov or reset_at) and not (name == "sgd" and momentum):
        raise ValueError(
            f"nesterov={nesterov} and reset_at={reset_at} are of sgd with momentum, "
            f"got {name!r} with momentum={momentum}; leave them out"
        )
    parts = [optax.add_decayed_weights(l2)] if l2 else []
    if name == "adadelta":
        parts.append(optax.scale_by_adadelta(rho=0.9, eps=1e-6))
    elif name == "adam":
        parts.append(optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8))
    elif momentum:
        parts.append(resettable_momentum(momentum, nesterov, reset_at))
    parts.append(optax.scale_by_learning_rate(learning_rate))
    return optax.chain(*parts)


class MomentumState(NamedTuple):
    """How many steps were made, and the momentum of each parameter."""

    step: jax.Array
    momentum: optax.Updates


def resettable_momentum(
    decay: float, nesterov: bool = False, reset_at: Sequence[int] = ()
) -> optax.GradientTransformation:
    """`m = g + decay m`, with m taken for 0 at the steps `reset_at`; gives m.

    With `nesterov` it gives `g + decay m`. As torch's SGD, without dampening.
    """
    reset_at = tuple(reset_at)

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return MomentumState(jnp.zeros((), jnp.int32), zeros)

    def update(updates, state, params=None):
        del params
        keep = decay
        if reset_at:
            keep = jnp.where(jnp.isin(state.step, jnp.array(reset_at)), 0.0, decay)
        momentum = jax.tree.map(lambda g, m: g + keep * m, updates, state.momentum)
        if nesterov:
            updates = jax.tree.map(lambda g, m: g + decay * m, updates, momentum)
        else:
            updates = momentum
        return updates, MomentumState(state.step + 1, momentum)

    return optax.GradientTransformation(init, update)


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")


def _check_rising(name: str, steps: Sequence[int]) -> tuple[int, ...]:
    steps = tuple(steps)
    if any(b <= a for a, b in zip((0, *steps), steps)):
        raise ValueError(f"{name} must be positive and rise, got {steps}")
    return steps

"""Optimisers and schedules of published recipes, as optax transformations."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ("adadelta", "sgd", "adam", "rmsprop")
SCHEDULES = ("constant", "cosine", "anneal", "epoch_decay", "step_decay")


def make_schedule(
    learning_rate: float,
    schedule: str,
    num_steps: int,
    warmup_steps: int = 0,
    *,
    decay: float = 1.0,
    steps_per_epoch: float = 1.0,
    boundaries: Sequence[int] = (),
) -> optax.Schedule:
    """`learning_rate * min(1, (step + 1) / warmup_steps) * shape(step)`, step from 0.

    * "constant": 1;
    * "cosine": half a cosine, from 1 after warm-up to 0 at `num_steps`;
    * "anneal": 1, halved at 80 % of `num_steps` and again at 90 % (the paper's
      `--lr_anneal`);
    * "epoch_decay": `decay ** floor(step / steps_per_epoch)`. `steps_per_epoch` need
      not be whole: 60,000 images in batches of 64 are 937.5. A step belongs to the
      epoch in which its batch begins;
    * "step_decay": `decay ** (number of boundaries <= step)`.

    The last two have no warm-up. Raises ValueError for unknown names, a warm-up that
    does not fit, numbers that are not positive, and boundaries that do not rise.
    """
    if schedule not in SCHEDULES:
        raise ValueError(
            f"unknown schedule {schedule!r}; known: {', '.join(SCHEDULES)}"
        )
    _check_positive(
        learning_rate=learning_rate, decay=decay, steps_per_epoch=steps_per_epoch
    )
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 <= warmup_steps <= num_steps:
        raise ValueError(
            f"warmup_steps must lie in 0..num_steps ({num_steps}), got {warmup_steps}"
        )
    boundaries = _check_rising("boundaries", boundaries)
    if schedule in ("epoch_decay", "step_decay") and warmup_steps:
        raise ValueError(f"{schedule!r} has no warm-up; set warmup_steps to 0")
    if schedule == "epoch_decay":
        return optax.exponential_decay(
            learning_rate, steps_per_epoch, decay, staircase=True
        )
    if schedule == "step_decay":
        falling = _falling(decay, boundaries)
        return lambda step: learning_rate * falling(step)
    shape = optax.constant_schedule(1.0)
    if schedule == "anneal":
        shape = _falling(0.5, (-(-8 * num_steps // 10), -(-9 * num_steps // 10)))
    elif schedule == "cosine":
        # `optax.cosine_decay_schedule` multiplies by pi before it divides: its last
        # bits differ, and with them those of trained parameters
        def shape(step):
            after = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
            return 0.5 * (1 + jnp.cos(math.pi * jnp.clip(after, 0.0, 1.0)))

    def rate(step):
        # The first step already moves: warm-up counts from 1. `optax.linear_schedule`
        # rounds in another way, and with it trained parameters.
        warm = jnp.minimum(1.0, (step + 1) / max(warmup_steps, 1))
        return learning_rate * warm * shape(step)

    return rate


def _falling(factor: float, boundaries: Sequence[int]) -> optax.Schedule:
    """`factor ** (number of boundaries <= step)`; two may be the same step.

    `optax.piecewise_constant_schedule` has the same rates, but XLA compiles the step
    around them in another way: the last bits of trained parameters differ.
    """
    return lambda step: (
        factor ** sum(((step >= at) * 1.0 for at in boundaries), start=0.0)
    )


def make_optimizer(
    learning_rate: float | optax.Schedule,
    *,
    name: str = "adam",
    clip_norm: float = 100.0,
    l2: float = 5e-5,
    weight_decay: float = 0.0,
    scales_apart: bool = True,
    b2: float = 0.999,
    momentum: float = 0.9,
    nesterov: bool = False,
    reset_at: Sequence[int] = (),
) -> optax.GradientTransformation:
    """Clip, add L2, precondition, decay, step: in the order torch does it.

    The defaults are those of the paper's RealNVP. 0 leaves a part out.

    Args:
        learning_rate: a number, or a schedule as `make_schedule` makes it.
        name: "adadelta", rho 0.9 and eps 1e-6 (Zeiler 2012); "sgd", with `momentum`;
            "adam", 0.9, `b2` and eps 1e-8; or "rmsprop", decay 0.99 and eps outside
            the root (torch's).
        clip_norm: global-norm clipping; with `scales_apart`, the weight-norm scales g
            and all other parameters are clipped as two groups.
        l2: coupled decay, added to the gradient after clipping: of the weight-norm
            scales alone with `scales_apart` (RealNVP), of everything without (Glow,
            tables, classifiers).
        weight_decay: decoupled decay of the kernels (AdamW). Weight-normed layers have
            none: the length of their direction v changes nothing but how fast v turns,
            and their scale g is what `l2` decays.
        scales_apart: whether weight-norm scales are treated by themselves.
        b2: of "adam", the decay of its second moments; 0.95 of transformers.
        momentum: of "sgd"; 0 is plain gradient descent.
        nesterov: whether the momentum of "sgd" is Nesterov's.
        reset_at: steps, counted from 0, at which the momentum of "sgd" starts anew, as
            where a training script makes another optimiser.

    Raises:
        ValueError: for unknown names, numbers out of range, and `nesterov` or
            `reset_at` of anything but "sgd" with momentum; when it is initialised, for
            a `weight_decay` that would act on nothing.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(OPTIMIZERS)}")
    if not callable(learning_rate):
        _check_positive(learning_rate=learning_rate)
    numbers = {"clip_norm": clip_norm, "l2": l2, "weight_decay": weight_decay}
    for key, value in numbers.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{key} must not be negative or infinite, got {value}")
    for key, value in {"momentum": momentum, "b2": b2}.items():
        if not 0 <= value < 1:
            raise ValueError(f"{key} must lie in [0, 1), got {value}")
    reset_at = _check_rising("reset_at", reset_at)
    if (nesterov or reset_at) and not (name == "sgd" and momentum):
        raise ValueError(
            f"nesterov={nesterov} and reset_at={reset_at} are of sgd with momentum, "
            f"got {name!r} with momentum={momentum}; leave them out"
        )
    # weight-norm scales g (torch: `weight_g`), those of the couplings included
    scales = named("g") if scales_apart else None
    parts = []
    if clip_norm:
        parts.append(clip_by_group_norm(clip_norm, scales))
    if l2:
        parts.append(optax.add_decayed_weights(l2, scales))
    if name == "adadelta":
        parts.append(optax.scale_by_adadelta(rho=0.9, eps=1e-6))
    elif name == "adam":
        parts.append(optax.scale_by_adam(b1=0.9, b2=b2, eps=1e-8))
    elif name == "rmsprop":
        parts.append(optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False))
    elif momentum:
        parts.append(resettable_momentum(momentum, nesterov, reset_at))
    if weight_decay:
        parts.append(_decay_kernels(weight_decay))
    parts.append(optax.scale_by_learning_rate(learning_rate))
    return optax.chain(*parts)


def _decay_kernels(weight_decay: float) -> optax.GradientTransformation:
    # directions v of weight-normed kernels are left out: their length has no effect
    kernels = named("kernel")
    decay = optax.add_decayed_weights(weight_decay, kernels)

    def init(params):
        if not any(jax.tree.leaves(kernels(params))):
            raise ValueError(
                f"weight_decay={weight_decay} would act on nothing: no parameter is a "
                "kernel. Set it to 0; l2 decays the scales of weight-normed layers"
            )
        return decay.init(params)

    return optax.GradientTransformation(init, decay.update)


def clip_by_group_norm(
    max_norm: float, group: Callable | None = None
) -> optax.GradientTransformation:
    """Scale each group of gradients by `min(1, max_norm / (norm + 1e-6))`.

    `group(tree) -> tree of bools` splits the parameters in two; without it they are one
    group. As torch's `clip_grad_norm_`.
    """

    def update(updates, state, params=None):
        del params
        member = group(updates) if group else jax.tree.map(lambda _: True, updates)

        def scale(which):
            chosen = jax.tree.map(
                lambda u, m: u if m == which else None, updates, member
            )
            return jnp.minimum(1.0, max_norm / (optax.tree.norm(chosen) + 1e-6))

        coefficient = {which: scale(which) for which in (True, False)}
        clipped = jax.tree.map(
            lambda u, m: u * coefficient[m].astype(u.dtype), updates, member
        )
        return clipped, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class MomentumState(NamedTuple):
    """The number of steps made, and the momentum of each parameter."""

    step: jax.Array
    momentum: optax.Updates


def resettable_momentum(
    decay: float, nesterov: bool = False, reset_at: Sequence[int] = ()
) -> optax.GradientTransformation:
    """`m = g + decay m`, with m taken for 0 at the steps `reset_at`; gives m.

    With `nesterov` it gives `g + decay m`. As torch's SGD, without dampening.
    """

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return MomentumState(jnp.zeros((), jnp.int32), zeros)

    def update(updates, state, params=None):
        del params
        keep: float | jax.Array = decay
        if reset_at:
            keep = jnp.where(jnp.isin(state.step, jnp.array(reset_at)), 0.0, decay)
        momentum = jax.tree.map(lambda g, m: g + keep * m, updates, state.momentum)
        state = MomentumState(state.step + 1, momentum)
        if nesterov:
            momentum = jax.tree.map(lambda g, m: g + decay * m, updates, momentum)
        return momentum, state

    return optax.GradientTransformation(init, update)


def named(name: str) -> Callable:
    """`tree -> tree of bools`, true for the leaves called `name` or `..._name`."""

    def called(path, _):
        leaf = jax.tree_util.keystr(path[-1:], simple=True)
        return leaf == name or leaf.endswith(f"_{name}")

    def mask(tree):
        return jax.tree_util.tree_map_with_path(called, tree)

    return mask


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value}")


def _check_rising(name: str, steps: Sequence[int]) -> tuple[int, ...]:
    steps = tuple(steps)
    if any(b <= a for a, b in zip((0, *steps), steps)):
        raise ValueError(f"{name} must be positive and rise, got {steps}")
    return steps

"""The paper's optimiser, and the modern options beside it, as optax transformations."""

import jax
import jax.numpy as jnp
import optax

NAMES = ("adam", "rmsprop")
SCHEDULES = ("constant", "cosine", "anneal")


def make_schedule(
    learning_rate: float, schedule: str, num_steps: int, warmup_steps: int = 0
) -> optax.Schedule:
    """Learning rate per step: linear warm-up, then "constant", "cosine" (to 0) or
    "anneal" (the paper's `--lr_anneal`: halved at 80%, again at 90% of the steps)."""
    if schedule not in SCHEDULES:
        raise ValueError(
            f"unknown schedule {schedule!r}; known: {', '.join(SCHEDULES)}"
        )
    if not 0 <= warmup_steps <= num_steps:
        raise ValueError(
            f"warmup_steps must lie in 0..num_steps ({num_steps}), got {warmup_steps}"
        )
    steps = max(num_steps - warmup_steps, 1)
    if schedule == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, steps)
    elif schedule == "anneal":
        at = {int(0.8 * num_steps) - warmup_steps: 0.5}
        at[int(0.9 * num_steps) - warmup_steps] = 0.5
        after = optax.piecewise_constant_schedule(learning_rate, at)
    else:
        after = optax.constant_schedule(learning_rate)
    if not warmup_steps:
        return after
    # the first step already moves: warm-up counts from 1
    warmup = optax.linear_schedule(
        learning_rate / warmup_steps, learning_rate, warmup_steps - 1 or 1
    )
    return optax.join_schedules([warmup, after], [warmup_steps])


def make_optimizer(
    learning_rate: float | optax.Schedule,
    *,
    name: str = "adam",
    clip_norm: float = 100.0,
    l2: float = 5e-5,
    weight_decay: float = 0.0,
    scales_apart: bool = True,
) -> optax.GradientTransformation:
    """Clip, add L2, precondition, decay, step: in the order torch does it.

    * `clip_norm`: global-norm clipping; with `scales_apart`, the weight-norm scales g
      and all other parameters are clipped as two groups (the paper's RealNVP);
    * `l2`: coupled decay, added to the gradient after clipping: of the weight-norm
      scales alone with `scales_apart` (RealNVP), of everything without (Glow, tables);
    * `weight_decay`: decoupled decay of everything but scales and biases (AdamW);
    * `name`: "adam", or "rmsprop" with decay 0.99 and eps outside the root (torch's).
    """
    if name not in NAMES:
        raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(NAMES)}")
    parts = []
    if clip_norm:
        group = is_scale if scales_apart else lambda path: True
        parts.append(clip_by_group_norm(clip_norm, group))
    if l2:
        mask = by_path(is_scale) if scales_apart else None
        parts.append(optax.add_decayed_weights(l2, mask))
    if name == "adam":
        parts.append(optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8))
    else:
        parts.append(optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False))
    if weight_decay:
        parts.append(optax.add_decayed_weights(weight_decay, by_path(is_weight)))
    parts.append(optax.scale_by_learning_rate(learning_rate))
    return optax.chain(*parts)


def clip_by_group_norm(max_norm: float, group) -> optax.GradientTransformation:
    """Scale each group of gradients by `min(1, max_norm / (norm + 1e-6))`.

    `group(path) -> bool` splits the parameters in two. As torch's `clip_grad_norm_`.
    """

    def update(updates, state, params=None):
        del params
        member = by_path(group)(updates)
        coefficient = {}
        for which in (True, False):
            chosen = jax.tree.map(
                lambda u, m, which=which: u if m == which else None, updates, member
            )
            norm = optax.global_norm(chosen)
            coefficient[which] = jnp.minimum(1.0, max_norm / (norm + 1e-6))
        clipped = jax.tree.map(
            lambda u, m: u * coefficient[m].astype(u.dtype), updates, member
        )
        return clipped, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def by_path(predicate):
    """`tree -> tree of bools`, true where `predicate(path of names)` holds."""

    def mask(tree):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: predicate(tuple(str(k.key) for k in path)), tree
        )

    return mask


def is_scale(path: tuple[str, ...]) -> bool:
    """Weight-norm scales g (torch: `weight_g`), those of the couplings included."""
    return path[-1] == "g"


def is_weight(path: tuple[str, ...]) -> bool:
    """Kernels: what decoupled weight decay usually applies to.

    Directions v of weight-normed kernels are left out: their length has no effect.
    """
    return path[-1] == "kernel"

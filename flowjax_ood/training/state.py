"""Everything a training run has to remember."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from flowjax_ood.distributions import Flow
from flowjax_ood.ood.network import as_input


@struct.dataclass
class TrainState:
    """A pytree: one checkpoint holds exactly this.

    `batch_stats` is empty for flows without batch norm, `ema` empty without averaging.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any

    def variables(self, average: bool = True) -> dict:
        """Flax variables; the averaged parameters where there are any."""
        params = self.ema if average and self.ema else self.params
        stats = {"batch_stats": self.batch_stats} if self.batch_stats else {}
        return {"params": params, **stats}


def create_state(
    flow: Flow,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    x: jax.Array,
    cond: jax.Array | None = None,
    *,
    average: bool = False,
) -> TrainState:
    """Initial state; `x [B, ...]` (dequantised) drives data-dependent initialisation.

    `cond [B, K]` is what a conditional flow is given with x; `average=True` reserves
    room for averaged parameters.
    """
    return initial_state(flow.init, optimizer, key, x, cond, average=average)


def initial_state(
    init: Callable[..., dict],
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    *inputs: jax.Array | None,
    average: bool = False,
) -> TrainState:
    """The state at step 0, with the variables of `init(key, *inputs)`."""

    def build(key, *inputs):
        variables = init(key, *inputs)
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
            # a copy: donated buffers must not be shared between two leaves
            ema=jax.tree.map(jnp.copy, params) if average else {},
        )

    # a caller that traces (for the shapes alone) compiles by its own options
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        return build(key, *inputs)
    # runs once: on CPU, XLA's optimisation passes would cost more than they save
    quick = {"xla_backend_optimization_level": 0}
    options = quick if jax.default_backend() == "cpu" else None
    return jax.jit(build, compiler_options=options)(key, *inputs)


def parameter_count(params) -> int:
    """Number of trainable parameters (running statistics are not among them)."""
    return sum(int(p.size) for p in jax.tree.leaves(params))


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

"""Everything a training run has to remember."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from flowjax_ood.ood.network import as_input
from flowjax_ood.runtime.once import run_once


@struct.dataclass
class TrainState:
    """A pytree: one checkpoint holds exactly this.

    `batch_stats` is empty for modules without batch norm, `ema` without averaging.
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
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    *inputs: jax.Array | None,
    average: bool = False,
) -> TrainState:
    """The state at step 0, with the variables of `module.init(key, *inputs)`.

    Args:
        module: a flow or a classifier.
        optimizer: as `make_optimizer` makes it.
        key: of the initialisation.
        inputs: `x` and, for a conditional flow, `cond [B, K]`. A flow's `x [B, ...]`,
            dequantised, drives data-dependent initialisation. Of a classifier's,
            uint8 `[B, H, W, C]`, floating-point in [0, 1], or tokens int `[B, L]`,
            only the shape matters.
        average: whether to average the parameters (`make_train_step(ema_decay=...)`).
    """
    given = [as_input(x) for x in inputs if x is not None]

    def build(key, *inputs):
        return _at_start(optimizer, module.init(key, *inputs), average)

    # a caller that traces, for the shapes alone or to compile by its own options
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        return build(key, *given)
    return run_once(build, key, *given)


def fine_tuning_state(
    optimizer: optax.GradientTransformation, variables: dict
) -> TrainState:
    """The state at step 0 of a training that starts from copies of `variables`."""
    # a training step may take its state's memory for the next one
    return _at_start(optimizer, jax.tree.map(jnp.copy, variables))


def _at_start(optimizer, variables: Mapping, average: bool = False) -> TrainState:
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        # a copy: donated buffers must not be shared between two leaves
        ema=jax.tree.map(jnp.copy, params) if average else {},
    )


def byte_count(tree) -> int:
    """Number of bytes of a tree of arrays, or of their shapes."""
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(tree))


def parameter_count(params) -> int:
    """Number of trainable parameters (running statistics are not among them)."""
    return sum(int(p.size) for p in jax.tree.leaves(params))

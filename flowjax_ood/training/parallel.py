"""Data parallelism: three thin wrappers around the same pure step.

`"jit"` sees the global batch and lets the compiler split it; `"shard_map"` and `"pmap"`
run the step on each device's part and average. The parameters they reach agree up to
rounding; with batch norm, the last two use each device's own statistics.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
MODES = ("jit", "pmap", "shard_map")


class Parallel:
    """Where arrays live, and how a step is spread over `devices`.

    `mode`: one of `MODES`; `devices` default to all. The batch must divide evenly.
    Raises ValueError for an unknown mode and for no devices.
    """

    def __init__(self, mode: str = "jit", devices: Sequence | None = None):
        if mode not in MODES:
            raise ValueError(
                f"unknown parallel mode {mode!r}; known: {', '.join(MODES)}"
            )
        self.mode = mode
        self.devices = list(jax.devices() if devices is None else devices)
        if not self.devices:
            raise ValueError("no devices to train on; leave `devices` out to use all")
        self.mesh = Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.split = NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def one_at_a_time(self) -> bool:
        """Whether a step must end before the next is dispatched.

        On several CPU devices, which share one pool of threads: on a busy machine,
        programs in flight together can starve each other's all-reduce of threads until
        XLA gives up and ends the process.
        """
        return len(self.devices) > 1 and self.devices[0].platform == "cpu"

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError unless every device gets an equal part of the batch."""
        if batch_size < 1:
            raise ValueError(f"the batch size must be at least 1, got {batch_size}")
        if batch_size % len(self.devices):
            raise ValueError(
                f"batch size {batch_size} does not divide over {len(self.devices)} "
                f"devices; use a multiple of {len(self.devices)}"
            )

    def place_state(self, state: Any) -> Any:
        """Put one copy of a pytree on every device."""
        if self.mode == "pmap":
            n = len(self.devices)
            state = jax.tree.map(lambda a: np.broadcast_to(a, (n, *np.shape(a))), state)
            return jax.device_put(state, self.split)
        # no alias: the step is donated these copies, not the caller's own arrays
        return jax.device_put(state, self.replicated, may_alias=False)

    def global_state(self, state: Any) -> Any:
        """The pytree as it was before `place_state`, wherever its copies live."""
        if self.mode == "pmap":
            return jax.tree.map(lambda a: a[0], state)
        return state

    def place_batch(self, batch: Any) -> Any:
        """Split arrays `[B, ...]` of a batch over the devices.

        Raises ValueError where B does not divide evenly.
        """
        for leaf in jax.tree.leaves(batch):
            self.check_batch_size(len(leaf))
        if self.mode == "pmap":
            n = len(self.devices)
            batch = jax.tree.map(
                lambda a: a.reshape(n, a.shape[0] // n, *a.shape[1:]), batch
            )
        return jax.device_put(batch, self.split)

    def wrap_step(self, train_step: Callable) -> Callable:
        """Compile `train_step(state, batch, key, reduce)` to run on all devices.

        The result takes the state of `place_state` (donated) and the batch of
        `place_batch`, and returns the new state and scalar metrics.
        """
        if self.mode == "jit":
            return jax.jit(
                train_step,
                donate_argnums=0,
                in_shardings=(self.replicated, self.split, self.replicated),
                out_shardings=self.replicated,
            )
        mean = partial(jax.lax.pmean, axis_name=AXIS)
        local_step = partial(train_step, reduce=mean)
        if self.mode == "shard_map":
            here, whole = PartitionSpec(AXIS), PartitionSpec()
            # check_vma=False: gradients stay local, and `reduce` is the only collective
            spread = jax.shard_map(
                local_step,
                mesh=self.mesh,
                in_specs=(whole, here, whole),
                out_specs=whole,
                check_vma=False,
            )
            return jax.jit(spread, donate_argnums=0)
        spread = jax.pmap(
            local_step,
            axis_name=AXIS,
            devices=self.devices,
            in_axes=(0, 0, None),
            donate_argnums=0,
        )

        def step(state, batch, key):
            state, metrics = spread(state, batch, key)
            return state, jax.tree.map(lambda m: m[0], metrics)

        return step

"""Data parallelism: three thin wrappers around the same pure step.

`"jit"` sees the global batch and lets the compiler split it; `"shard_map"` and `"pmap"`
run the step on each device's part and average, in one all-reduce. The parameters they
reach agree up to rounding. Devices may belong to several processes, a host each.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from flowjax_ood.runtime.placement import (
    by_device,
    copied,
    first_copy,
    from_whole,
    sharded,
)
from flowjax_ood.runtime.shares import Share, reducing_over

AXIS, FSDP = "data", "fsdp"
MODES = ("jit", "pmap", "shard_map")


class Parallel:
    """Places arrays on `devices`, and spreads a step over them.

    Args:
        mode: one of `MODES`.
        devices: all by default, of all processes; each must have as many.
        fsdp: over how many devices one copy of the state is sharded (`"jit"` alone); 1
            is a copy on every device. It must divide the devices.

    The batch must divide evenly over the devices. Raises ValueError for what does not
    fit.
    """

    def __init__(
        self, mode: str = "jit", devices: Sequence | None = None, fsdp: int = 1
    ):
        if mode not in MODES:
            raise ValueError(
                f"unknown parallel mode {mode!r}; known: {', '.join(MODES)}"
            )
        self.mode, self.fsdp = mode, fsdp
        devices = jax.devices() if devices is None else devices
        # what a process reads of a batch is one stretch of it
        self.devices = sorted(devices, key=lambda d: d.process_index)
        self.part = _part_of_this_process(self.devices)
        self.local = len(self.devices) // self.part.count
        shape: tuple[int, ...] = (len(self.devices),)
        names: tuple[str, ...] = (AXIS,)
        if fsdp != 1:
            _check_fsdp(fsdp, len(self.devices), mode)
            shape, names = (len(self.devices) // fsdp, fsdp), (AXIS, FSDP)
        grid = np.array(self.devices).reshape(shape)
        self.mesh = Mesh(grid, names, axis_types=(AxisType.Auto,) * len(names))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.split = NamedSharding(self.mesh, PartitionSpec(names))
        # one function for all calls: it is compiled once
        self._gather = jax.jit(lambda tree: tree, out_shardings=self.replicated)

    @property
    def one_at_a_time(self) -> bool:
        """Whether a step must end before the next is dispatched.

        On several CPU devices, which share one pool of threads: on a busy machine,
        programs in flight together can starve each other's all-reduce of threads until
        XLA gives up and ends the process.
        """
        return self.local > 1 and self.devices[0].platform == "cpu"

    def multiple(self, batch_size: int) -> int:
        """Round a batch size up to a multiple of the devices."""
        return -(-batch_size // len(self.devices)) * len(self.devices)

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
        """Put a pytree, equal on every process, on the devices: copies or shards."""
        if self.mode == "pmap":
            # of this process's devices: pmap knows of the others
            n = self.local
            state = jax.tree.map(lambda a: np.broadcast_to(a, (n, *np.shape(a))), state)
            return jax.device_put(state, self._split_here)
        placed = self._shardings(state)
        if self.part.count == 1:
            # no alias: the step is donated these copies, not the caller's own arrays
            return jax.device_put(state, placed, may_alias=False)
        return jax.tree.map(from_whole, jax.device_get(state), placed)

    def global_state(self, state: Any) -> Any:
        """Return the pytree as it was before `place_state`, wherever copies live."""
        if self.mode == "pmap":
            return jax.tree.map(first_copy, state)
        return state if self.fsdp == 1 else self._gather(state)

    def to_save(self, state: Any) -> Any:
        """Return the pytree as a checkpoint takes it: NumPy arrays, or shards."""
        if self.mode == "pmap" or self.part.count == 1:
            return jax.device_get(self.global_state(state))
        return state

    def place_batch(self, batch: Any) -> Any:
        """Put this process's part of a batch on its devices.

        Arrays `[B / processes, ...]` become part of global arrays `[B, ...]`. Of a list
        of batches, for as many steps in one call, arrays are `[K, B, ...]`. Raises
        ValueError where B does not divide evenly.
        """
        axis = 0
        if isinstance(batch, list):
            axis, batch = 1, jax.tree.map(lambda *a: np.stack(a), *batch)
        for leaf in jax.tree.leaves(batch):
            self.check_batch_size(leaf.shape[axis] * self.part.count)
        if self.mode == "pmap":
            batch = jax.tree.map(partial(by_device, n=self.local, axis=axis), batch)
            return jax.device_put(batch, self._split_here)
        split = self.split
        if axis:
            split = NamedSharding(self.mesh, PartitionSpec(None, *split.spec))
        if self.part.count == 1:
            return jax.device_put(batch, split)
        put = partial(jax.make_array_from_process_local_data, split)
        return jax.tree.map(put, batch)

    def placed_shapes(self, state: Any, batch: Any, key: Any) -> tuple[Any, Any, Any]:
        """The arguments of `wrap_step`'s function as shapes, where they would be.

        From anything with shapes and dtypes, the batch whole: to compile for devices
        without their memory. ValueError for "pmap", which does not lower apart.
        """
        if self.mode == "pmap":
            raise ValueError("pmap compiles as it is called; use jit or shard_map")

        def at(array, sharding):
            return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

        return (
            jax.tree.map(at, state, self._shardings(state)),
            jax.tree.map(lambda a: at(a, self.split), batch),
            at(key, self.replicated),
        )

    def place_rows(self, tree: Any) -> Any:
        """Split whole arrays `[B, ...]`, equal on every process, over all devices."""
        if self.part.count == 1:
            return jax.device_put(tree, self.split)
        return jax.tree.map(lambda a: from_whole(np.asarray(a), self.split), tree)

    def place_copies(self, tree: Any) -> Any:
        """Put a copy of a pytree, equal on every process, on every device."""
        if self.part.count == 1:
            return jax.device_put(tree, self.replicated)
        return jax.tree.map(partial(copied, sharding=self.replicated), tree)

    def wrap_step(self, train_step: Callable, scanned: bool = False) -> Callable:
        """Compile `train_step(state, batch, key, reduce)` to run on all devices.

        The result takes the state of `place_state` (donated) and the batch of
        `place_batch`, and returns the new state and scalar metrics. If `scanned`, the
        batch is of K steps, `[K, B, ...]`, which are taken one after another without
        the host, and metrics are `[K]`.
        """
        if scanned:
            train_step = _several(train_step, self.devices[0].platform == "cpu")
        if self.mode == "jit":
            return self._global_step(train_step, scanned)

        mean = partial(mean_in_one, axis_name=AXIS)

        def local_step(state, batch, key):
            # layers that look at the whole batch, as batch norm may, ask for the rest
            with reducing_over(AXIS):
                return train_step(state, batch, key, reduce=mean)

        if self.mode == "shard_map":
            here, whole = PartitionSpec(AXIS), PartitionSpec()
            if scanned:
                here = PartitionSpec(None, AXIS)
            # check_vma=False: gradients stay local until `reduce`
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
            return state, jax.tree.map(first_copy, metrics)

        return step

    def _global_step(self, train_step: Callable, scanned: bool) -> Callable:
        if self.fsdp == 1:
            split, whole = self.split, self.replicated
            # of several steps in a call, batches are split along their second axis
            return jax.jit(
                train_step,
                donate_argnums=0,
                in_shardings=(whole, None if scanned else split, whole),
                out_shardings=whole,
            )

        def step(state, batch, key):
            new, metrics = train_step(state, batch, key)
            new = jax.lax.with_sharding_constraint(new, self._shardings(new))
            metrics = jax.lax.with_sharding_constraint(metrics, self.replicated)
            return new, metrics

        return jax.jit(step, donate_argnums=0)

    def _shardings(self, state: Any) -> Any:
        def of(array):
            if self.fsdp == 1:
                return self.replicated
            return NamedSharding(self.mesh, sharded(np.shape(array), FSDP, self.fsdp))

        return jax.tree.map(of, state)

    @property
    def _split_here(self) -> NamedSharding:
        """Over the devices of this process alone."""
        first = self.part.index * self.local
        here = np.array(self.devices[first : first + self.local])
        mesh = Mesh(here, (AXIS,), axis_types=(AxisType.Auto,))
        return NamedSharding(mesh, PartitionSpec(AXIS))


def mean_in_one(tree: Any, axis_name: str) -> Any:
    """Average over the devices, leaf by leaf, in one all-reduce for each dtype."""
    leaves, treedef = jax.tree.flatten(tree)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    means: list = [None] * len(leaves)
    for dtype in dict.fromkeys(leaf.dtype for leaf in leaves):
        own = [i for i, leaf in enumerate(leaves) if leaf.dtype == dtype]
        flat = jnp.concatenate([leaves[i].reshape(-1) for i in own])
        flat = jax.lax.pmean(flat, axis_name)
        ends = np.cumsum([leaves[i].size for i in own])
        for i, part in zip(own, jnp.split(flat, ends[:-1])):
            means[i] = part.reshape(leaves[i].shape)
    return jax.tree.unflatten(treedef, means)


def _several(train_step: Callable, unroll: bool) -> Callable:
    """A function that takes K steps in one call, on batches `[K, B, ...]`.

    `unroll`: XLA's convolutions are slow inside a loop on CPU.
    """

    def steps(state, batches, key, **reduce):
        def step(state, batch):
            return train_step(state, batch, key, **reduce)

        return jax.lax.scan(step, state, batches, unroll=unroll)

    return steps


def _part_of_this_process(devices: Sequence) -> Share:
    counts = Counter(device.process_index for device in devices)
    if not counts:
        raise ValueError("no devices to train on; leave `devices` out to use all")
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"every process must have as many devices, got {dict(counts)} by process; "
            "start them alike"
        )
    own = jax.process_index()
    if own not in counts:
        raise ValueError(f"process {own} has none of the devices {list(devices)}")
    return Share(list(counts).index(own), len(counts))


def _check_fsdp(fsdp: int, devices: int, mode: str) -> None:
    if mode != "jit":
        raise ValueError(
            f"fsdp={fsdp} shards the state, which {mode!r} copies to every device; use "
            "parallel='jit', or fsdp=1"
        )
    if fsdp < 1 or devices % fsdp:
        raise ValueError(
            f"fsdp={fsdp} does not divide {devices} devices; use 1 (a copy on each) to "
            f"{devices}"
        )

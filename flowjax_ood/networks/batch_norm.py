"""Batch normalisation, by the statistics of the whole batch or of groups of it."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from flowjax_ood.arguments import whole_number
from flowjax_ood.precision import at_least_float32
from flowjax_ood.runtime.shares import batch_axis


class BatchNorm(nn.Module):
    """`y = (x - mean) / sqrt(var + eps) * scale + bias` per channel, as torch does it.

    Batch statistics are used, and the running ones moved (by 0.1, variance unbiased),
    exactly when the collection `batch_stats` is mutable; otherwise the running ones
    are used. So `apply(..., mutable=["batch_stats"])` is training mode, and there is
    no flag to thread through. It computes in float32 and answers in the dtype of x.

    `group` says of how many examples of `x [B, ..., C]` the batch statistics are:

    * 0, of the whole batch of the step, however many devices share it. Inside
      `shard_map` and `pmap`, under `shares.reducing_over`, that takes two all-reduces
      and, with gradients, two more;
    * k > 0, of k consecutive ones: each group is normalised by itself ("ghost batch
      normalisation"), and the running statistics move by the mean over groups of their
      mean and unbiased variance; inside `shard_map` and `pmap`, over those of a device,
      for the step to average. Where each device has whole groups, none waits for
      another. `init`, whose batch may be of any size, takes it for one group.
      Source: Hoffer et al. 2017.

    Where the collection `batch_moments` is mutable, too, mean and unbiased variance of
    the whole batch are sown there, whatever the group.

    Raises ValueError for a negative `group`, and for one that does not divide the
    batch: inside `shard_map` and `pmap`, each device's part of it; in training mode,
    for an empty batch.
    """

    momentum: float = 0.9
    eps: float = 1e-5
    group: int = 0

    @nn.compact
    def __call__(self, x):
        check_group(self.group)
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        running_mean = self.variable(
            "batch_stats", "mean", jnp.zeros, shape, jnp.float32
        )
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        wide = at_least_float32(x)

        def normalised(wide, mean, var):
            mean, var, gain, shift = (
                lax.broadcast_to_rank(a, wide.ndim) for a in (mean, var, scale, bias)
            )
            gain = gain * lax.rsqrt(var + self.eps)
            # one multiply-add per element, rounded once
            return (wide * gain + (shift - mean * gain)).astype(x.dtype)

        if not self.is_mutable_collection("batch_stats"):
            return normalised(wide, running_mean.value, running_var.value)
        starting, whole = self.is_initializing(), None
        if not starting and 0 in x.shape[:-1]:
            raise ValueError(
                f"batch norm in training mode needs values to average, got shape "
                f"{x.shape}; leave out empty batches"
            )
        if self.group and not starting:
            parts = _in_groups(wide, self.group)
            mean, var, count = _moments(parts, keep=1)
            middle = (len(parts), *(1,) * (x.ndim - 1), shape[0])
            y = normalised(parts, mean.reshape(middle), var.reshape(middle))
            y = y.reshape(x.shape)
            mean, var = jnp.mean(mean, 0), jnp.mean(var, 0)
        else:
            whole = whole_moments(wide)
            mean, var, count = whole
            y = normalised(wide, mean, var)
        if not starting:
            keep, moved = self.momentum, _unbiased(var, count)
            for running, new in (running_mean, mean), (running_var, moved):
                old = running.value
                running.value = keep * old + (1 - keep) * new.astype(old.dtype)
            if self.is_mutable_collection("batch_moments"):
                mean, var, count = whole or whole_moments(wide)
                for name, moment in ("mean", mean), ("var", _unbiased(var, count)):
                    self.sow(
                        "batch_moments", name, moment, reduce_fn=lambda _, new: new
                    )
        return y


def whole_moments(x: jax.Array) -> tuple[jax.Array, jax.Array, int]:
    """`(mean [C], biased variance [C], values a channel)` of a batch `[B, ..., C]`.

    Of all of it where `shares.reducing_over` says that x is one device's part.
    """
    mean, var, count = _moments(x)
    axis = batch_axis()
    if axis is None:
        return mean, var, count
    whole = lax.pmean(mean, axis)
    # not E[x^2] - E[x]^2, a small difference of large numbers
    var = lax.pmean(var + (mean - whole) ** 2, axis)
    return whole, var, count * lax.axis_size(axis)


def check_group(group: int) -> None:
    """Raise ValueError unless it is 0 or the number of examples of a group."""
    if whole_number("group", group) < 0:
        raise ValueError(
            "a group of batch norm is a number of examples, or 0 for the whole batch, "
            f"got {group}"
        )


def _moments(x, keep: int = 0):
    """Mean and biased variance over all axes but the last, and the first `keep`."""
    axes = tuple(range(keep, x.ndim - 1))
    count = math.prod(x.shape[keep:-1])
    return jnp.mean(x, axes), jnp.var(x, axes), count


def _unbiased(var, count: int):
    return var * (count / max(count - 1, 1))


def _in_groups(x, group: int):
    """`[B, ..., C]` to `[B / group, group, ..., C]`, consecutive examples together."""
    groups, left = divmod(len(x), group)
    if left:
        where = "batch" if batch_axis() is None else "part of the batch on each device"
        raise ValueError(
            f"batch norm in groups of {group} examples does not divide a {where} of "
            f"{len(x)}; take a divisor of it, or 0 for the whole batch"
        )
    return x.reshape(groups, group, *x.shape[1:])

"""Affine coupling: the layer whose inductive bias the paper is about."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from flowjax_ood import masks
from flowjax_ood.arguments import real_number
from flowjax_ood.bijectors.base import Bijector, sum_event

# what a coupling produces, as against what its st-network computes on the way: the
# name by which a rematerialisation policy can keep the one and not the other
FLOW_NAME = "flow"


def affine_forward(x: jax.Array, s: jax.Array, t: jax.Array, changed=True):
    """`z = (x + t) * exp(s)` where `changed`, `z = x` elsewhere.

    Returns `(z, logdet [B])` with `logdet = sum of s where changed`. `changed` is
    boolean and broadcasts against x. Source: the paper, section 2 and equation (1),
    in the form of its code (shift before scale), so that -t predicts x.
    """
    s, t = jnp.where(changed, s, 0), jnp.where(changed, t, 0)
    return (x + t) * jnp.exp(s), sum_event(s)


def affine_inverse(z: jax.Array, s: jax.Array, t: jax.Array, changed=True):
    """`x = z * exp(-s) - t` where `changed`, `x = z` elsewhere."""
    s, t = jnp.where(changed, s, 0), jnp.where(changed, t, 0)
    return z * jnp.exp(-s) - t, -sum_event(s)


def check_max_log_scale(bound: float | None) -> None:
    """Raise ValueError for a bound on log-scales that is neither positive nor None."""
    if bound is not None and not real_number("max_log_scale", bound) > 0:
        raise ValueError(
            f"max_log_scale must be positive, or None for no bound, got {bound}"
        )


def bounded_log_scale(s: jax.Array, bound: float | None) -> jax.Array:
    """`bound * tanh(s / bound)`, of at most that size; s itself without a bound."""
    return s if bound is None else bound * jnp.tanh(s / bound)


class Rescale(nn.Module):
    """`y = g * v / |v| * x` per channel: a weight-normalised scale, 1 at the start.

    v is one number per channel, so only its sign matters and its gradient is zero; it
    is kept because the paper's checkpoints and parameter counts have it.
    """

    @nn.compact
    def __call__(self, x):
        shape = x.shape[-1:]
        g = self.param("g", nn.initializers.ones, shape, jnp.float32)
        v = self.param("v", nn.initializers.ones, shape, jnp.float32)
        return x * lax.broadcast_to_rank((g * jnp.sign(v)).astype(x.dtype), x.ndim)


class Coupling(Bijector):
    """The changed part is transformed elementwise, by numbers the seen part determines.

    `z = f(x; st_net(seen part))` on the changed part, `z = x` elsewhere. What f is,
    subclasses say: `numbers` it takes per value, and `_transform`.

    * `mask` with `index`: the strategy and which of its couplings this is;
    * `st_net`: makes the conditioner: a Flax module class, usually with its arguments
      bound by `functools.partial`. Called with `(seen [B, H, W, C'], features, cond)`,
      the module returns `[B, H, W, features]`; for vectors, without H and W;
    * its input is sown as `x` in the collection `intermediates`: apply with
      `mutable=["intermediates"]` to read it.

    The st-network may compute in lower precision; x, z and logdet do not.
    """

    st_net: Callable[..., nn.Module]
    mask: masks.MaskStrategy = masks.alternate_checkerboard
    index: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers the st-network has to give for each value."""
        raise NotImplementedError(f"{type(self).__name__} defines no numbers")

    def _transform(self, x, raw, changed, inverse):
        """`(z, logdet [B])` of x where `changed`; `raw` `[..., numbers * C]`."""
        raise NotImplementedError(f"{type(self).__name__} defines no _transform")

    def forward(self, x, cond=None):
        return self._couple(x, cond, inverse=False)

    def inverse(self, z, cond=None):
        return self._couple(z, cond, inverse=True)

    @nn.nowrap
    def coupling_mask(self, shape, index: int | None = None) -> masks.CouplingMask:
        """What this coupling sees and changes in an event of `shape`, checked."""
        k = self.index if index is None else index
        shape = tuple(shape)
        mask, again = (_checked(self.mask(k, shape), shape) for _ in range(2))
        # forward and inverse each ask for it, and so does every compilation
        same = all(map(np.array_equal, mask[:2], again[:2]))
        if not same or mask.layout != again.layout:
            raise ValueError(
                f"the mask strategy {self.mask!r} gives another mask for coupling {k} "
                "each time: it must be a function of k and the shape alone; draw what "
                "is random beforehand, or from a generator seeded by k"
            )
        return mask

    @nn.nowrap
    def mask_variables(self, shape, index: int) -> dict[str, np.ndarray]:
        """Mask number `index` as data, for the collection `masks`.

        Given there, it takes the place of the coupling's own (`Repeat` does so). All
        masks of one coupling must have the same layout and number of channels.
        """
        mask = self.coupling_mask(shape, index)
        if mask.layout == "spatial":
            return {"seen": mask.seen, "changed": mask.changed}
        return {"seen_at": _channels(mask.seen), "changed_at": _channels(mask.changed)}

    @nn.nowrap
    def latent_shape(self, shape):
        self.coupling_mask(shape)
        return shape

    @nn.compact
    def _couple(self, x, cond, inverse):
        mask = self.coupling_mask(x.shape[1:])
        self.sow("intermediates", "x", x)
        if mask.layout == "spatial":
            seen = jnp.where(self._mask("seen", mask.seen)[None], x, 0)
            raw = self._conditioned(seen, x.shape[-1], x.dtype, cond)
            changed = self._mask("changed", mask.changed)[None]
            z, logdet = self._transform(x, raw, changed, inverse)
            return checkpoint_name(z, FLOW_NAME), logdet
        seen_at = self._mask("seen_at", _channels(mask.seen))
        changed_at = self._mask("changed_at", _channels(mask.changed))
        seen, part = _take(x, seen_at), _take(x, changed_at)
        raw = self._conditioned(seen, len(changed_at), x.dtype, cond)
        part, logdet = self._transform(part, raw, True, inverse)
        z = _merge(seen, part, seen_at, changed_at)
        return checkpoint_name(z, FLOW_NAME), logdet

    def _mask(self, name, own):
        """The mask given as a variable, if there is one, or the coupling's own."""
        if self.has_variable("masks", name):
            return self.get_variable("masks", name)
        return own

    def _conditioned(self, seen, channels, dtype, cond):
        features = self.numbers * channels
        raw = self.st_net(name="st_net")(seen, features, cond)
        if raw.shape != (*seen.shape[:-1], features):
            raise ValueError(
                f"the st-network returned {raw.shape}, the coupling needs "
                f"{(*seen.shape[:-1], features)}"
            )
        return checkpoint_name(raw.astype(dtype), FLOW_NAME)


class ShiftScaleCoupling(Coupling):
    """`z = (x + t) * exp(s)` on the changed part, s and t computed from the seen part.

    How s comes from the st-network's number, subclasses say: `_log_scale`. s and t are
    sown in `intermediates` at the shape of the changed part.
    """

    numbers = 2

    def _log_scale(self, s_raw: jax.Array) -> jax.Array:
        """The log-scale s of each changed value, at the shape of `s_raw`."""
        raise NotImplementedError(f"{type(self).__name__} defines no _log_scale")

    def _transform(self, x, raw, changed, inverse):
        s_raw, t = jnp.split(raw, 2, axis=-1)
        s = self._log_scale(s_raw)
        self.sow("intermediates", "s", s)
        self.sow("intermediates", "t", t)
        return (affine_inverse if inverse else affine_forward)(x, s, t, changed)


class AffineCoupling(ShiftScaleCoupling):
    """`z = (x + t) * exp(s)` on the changed part, s and t computed from the seen part.

    `s = rescale * tanh(s_raw)` with one learned `rescale` per changed channel, so |s|
    is bounded by it; `(s_raw, t) = st_net(seen part)`. s and t are sown in
    `intermediates` at the shape of the changed part. The arguments are those of every
    `Coupling`, and:

    * `max_log_scale`: m in `s = m * tanh(rescale * tanh(s_raw) / m)`, so that |s| <= m
      whatever is learned; None leaves s as it is.
    """

    max_log_scale: float | None = None

    def __post_init__(self):
        check_max_log_scale(self.max_log_scale)
        super().__post_init__()

    def _log_scale(self, s_raw):
        s = Rescale(name="rescale")(jnp.tanh(s_raw))
        return bounded_log_scale(s, self.max_log_scale)


class SigmoidCoupling(ShiftScaleCoupling):
    """`z = (x + t) * scale * sigmoid(s_raw)` on the changed part.

    `s = log(sigmoid(s_raw)) + log(scale)` lies below `log(scale)`, and so does log
    |det| below that times the number of changed values: a coupling shrinks as it
    likes, and grows by at most `scale`. Of raw numbers 0 and scale 2 it is the
    identity. s and t are sown in `intermediates`. The arguments are those of every
    `Coupling`, and:

    * `scale`: the bound on what a value is multiplied with, a positive number.

    Source: Kolesnikov et al. 2024 (Jet), section 3.
    """

    scale: float = 2.0

    def __post_init__(self):
        if not real_number("scale", self.scale) > 0:
            raise ValueError(f"scale must be positive, got {self.scale}")
        super().__post_init__()

    def _log_scale(self, s_raw):
        # the logarithm of a sigmoid that has underflowed would be -inf
        return jax.nn.log_sigmoid(s_raw) + math.log(self.scale)


class ElementwiseCoupling(Coupling):
    """A coupling by one map a value, of which `log dz/dx` is known.

    Subclasses say which by `_elementwise`; with `numbers` of its parameters a value.
    `log dz/dx` is sown as `log_slope` in `intermediates`, at the shape of the changed
    part.
    """

    def _elementwise(self, x, raw, inverse):
        """`(z, log dz/dx)` of x by `raw [*x.shape, numbers]`, or of the inverse."""
        raise NotImplementedError(f"{type(self).__name__} defines no _elementwise")

    def _transform(self, x, raw, changed, inverse):
        z, log_slope = self._elementwise(
            x, raw.reshape(*x.shape, self.numbers), inverse
        )
        self.sow("intermediates", "log_slope", log_slope)
        logdet = sum_event(jnp.where(changed, log_slope, 0))
        return jnp.where(changed, z, x), logdet


def _checked(mask: masks.CouplingMask, shape) -> masks.CouplingMask:
    if not isinstance(mask, masks.CouplingMask):
        raise ValueError(
            "a mask strategy must return a CouplingMask, such as "
            f"masks.complementary(seen), got {type(mask).__name__}"
        )
    for name in ("seen", "changed"):
        array = getattr(mask, name)
        if not isinstance(array, np.ndarray):
            raise ValueError(
                f"the mask's `{name}` must be a NumPy array, which is known as a "
                f"program is compiled, got {type(array).__name__}"
            )
        if array.shape != shape or array.dtype != bool:
            raise ValueError(
                f"the mask's `{name}` must be boolean of shape {shape}, got "
                f"{array.dtype} {array.shape}"
            )
    if (mask.seen & mask.changed).any():
        raise ValueError(
            "a coupling mask changes positions it also sees: not invertible"
        )
    if mask.layout not in ("spatial", "channel"):
        raise ValueError(
            f"mask layout must be 'spatial' or 'channel', got {mask.layout!r}"
        )
    if mask.layout == "channel" and not (
        (mask.seen == _row(mask.seen)).all()
        and (mask.seen ^ mask.changed).all()
        and mask.seen.any()
        and mask.changed.any()
    ):
        raise ValueError(
            "a mask of layout 'channel' must depend on the channel (the last axis) "
            f"alone, every channel seen or changed and some of each; got shape {shape}"
        )
    return mask


def _channels(mask: np.ndarray) -> np.ndarray:
    return np.flatnonzero(_row(mask))


def _row(mask: np.ndarray) -> np.ndarray:
    """The mask at the first position: `[C]`, or `[D]` for a vector."""
    return mask.reshape(-1, mask.shape[-1])[0]


def _take(x: jax.Array, at) -> jax.Array:
    # a slice where the channels are contiguous: cheaper than a gather on all backends
    if isinstance(at, np.ndarray) and len(at) and at[-1] - at[0] + 1 == len(at):
        return x[..., at[0] : at[-1] + 1]
    return x[..., at]


def _merge(seen, changed, seen_at, changed_at) -> jax.Array:
    if not isinstance(seen_at, np.ndarray):
        merged = jnp.concatenate([seen, changed], axis=-1)
        order = jnp.concatenate([seen_at, changed_at])
        return jnp.zeros_like(merged).at[..., order].set(merged)
    parts = [(seen_at, seen), (changed_at, changed)]
    if changed_at[0] < seen_at[0]:
        parts.reverse()
    places = np.concatenate([at for at, _ in parts])
    merged = jnp.concatenate([part for _, part in parts], axis=-1)
    if (np.diff(places) > 0).all():
        return merged
    return merged[..., np.argsort(places)]

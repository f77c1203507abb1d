"""Conditional wavelet flow: volumes from a measurement, level by level."""

from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flowjax_ood import masks
from flowjax_ood.arguments import event_shape, real_number, whole_number
from flowjax_ood.bijectors import (
    AffineCoupling,
    Bijector,
    Chain,
    ConditionAffine,
    Haar,
    squeeze,
)
from flowjax_ood.bound import Bound
from flowjax_ood.distributions import Flow, StandardNormal
from flowjax_ood.distributions.flow import check_temperature
from flowjax_ood.networks import ImageConditioned
from flowjax_ood.precision import FLOAT32, Precision, as_precision

BLOCKS = ("coupling", "affine")
COARSE = ("regression", "flow")


class LevelLogProb(NamedTuple):
    """Log-densities of a volume by level, nats: `levels [B, L]`, finest first.

    `levels[:, l - 1]` is `log p(details_l | coarse_l, y)`, and `coarse [B]` is
    `log p(coarse_L | y)`, or None where that is a regression, which has no density.
    """

    levels: jax.Array
    coarse: jax.Array | None

    @property
    def complete(self) -> bool:
        """Whether `total` is the density of the whole volume."""
        return self.coarse is not None

    @property
    def total(self) -> jax.Array:
        """`log p(x | y)` where `complete`, else `log p(details | coarse_L, y)`: `[B]`.

        The wavelet keeps volume, so it adds nothing.
        """
        total = jnp.sum(self.levels, axis=1)
        return total if self.coarse is None else total + self.coarse


@dataclass(frozen=True)
class WaveletFlow:
    """`log p(x | y) = sum_l log p(d_l | c_l, y) + log p(c_L | y)`, a flow for each.

    x `[B, H, W, D]` is a volume of D planes, or an image, and y `[B, H, W, views]` a
    measurement of it. The Haar wavelet splits x into details d_1 and a coarse volume
    c_1 of half the planes ("channel") or sides ("space"), that into d_2 and c_2, and so
    on, `levels` times. Each level is a `Flow` of its own, with parameters of its own,
    and trains alone by the steps, objectives and checkpoints of any flow:

        flow = WaveletFlow((28, 28, 4), views=5)
        variables = flow.init(key, x, y)         # {"level_1": ..., "coarse": ...}
        flow.level(1)                            # log p(d_1 | c_1, y), a Flow
        flow.examples(1, x, y)                   # its {"x": d_1, "cond": (c_1, y)}
        flow.log_prob(variables, x, y).total     # [B], nats
        flow.reconstruct(variables, y)           # [B, H, W, D]

    * `block`: "affine" makes the details, given the condition, independent Gaussians
      (`ConditionAffine`), which is regression with a variance for each of them;
      "coupling" puts `couplings` checkerboard couplings behind that;
    * `coarse`: "regression" of c_L on y, the mean of a Gaussian of unit variance, whose
      likelihood is least squares and is no density of volumes; or "flow", of `block`;
    * `width`, `layers`: of every st-network (`ImageConditioned`);
    * `kernel`: of that of `ConditionAffine`. Its reach, `kernel // 2 + layers` pixels,
      should be as far as a voxel is moved in the views; couplings have 3;
    * `max_log_scale`: a bound on the log-scales of `ConditionAffine`.

    Plain functions of `(variables, inputs)`, under jit, too. Source: Page Vizcaino et
    al. 2024; Yu et al. 2020 (wavelet flow). Raises ValueError for numbers out of range,
    unknown names, and volumes that some level cannot halve.
    """

    volume_shape: tuple[int, int, int]
    _: KW_ONLY
    views: int
    levels: int = 2
    axis: str = "channel"
    block: str = "coupling"
    couplings: int = 4
    width: int = 32
    layers: int = 2
    kernel: int = 3
    coarse: str = "regression"
    max_log_scale: float = 2.0
    precision: str | Precision = FLOAT32

    def __post_init__(self):
        shape = event_shape("volume_shape", self.volume_shape)
        if len(shape) != 3:
            raise ValueError(f"volume_shape must be (H, W, D), got {shape}")
        object.__setattr__(self, "volume_shape", shape)
        object.__setattr__(self, "precision", as_precision(self.precision))
        for name in ("views", "levels", "couplings", "width", "layers", "kernel"):
            whole_number(name, getattr(self, name), 1)
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        for name, known in (("block", BLOCKS), ("coarse", COARSE)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")
        if real_number("max_log_scale", self.max_log_scale) <= 0:
            raise ValueError(
                f"max_log_scale must be positive, got {self.max_log_scale}"
            )
        self.shapes()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the levels' variables, finest first, "coarse" last."""
        return (*(f"level_{i}" for i in range(1, self.levels + 1)), "coarse")

    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes of the parts of a volume, as `decompose` gives them."""
        haar, coarse, shapes = Haar(self.axis), self.volume_shape, []
        for level in range(1, self.levels + 1):
            try:
                *sides, channels = haar.latent_shape(coarse)
            except ValueError as error:
                raise ValueError(f"level {level} of {self.levels}: {error}") from None
            kept = haar.coarse_channels(channels)
            shapes.append((*sides, channels - kept))
            coarse = (*sides, kept)
        return (*shapes, coarse)

    def level(self, which: int | str) -> Flow:
        """The flow of level 1 (the finest) ... `levels`, or "coarse".

        Its events are that part of a volume; its `cond` is what `examples` gives.
        """
        at = self._position(which)
        net = Bound(
            ImageConditioned,
            width=self.width,
            layers=self.layers,
            precision=self.precision,
        )
        wide = Bound(net, kernel=self.kernel)
        last = at == self.levels
        bound = 0.0 if last and self.coarse == "regression" else self.max_log_scale
        parts: list[Bijector] = [ConditionAffine(wide, bound)]
        if bound and self.block == "coupling":
            strategy = masks.alternate_checkerboard
            parts += [AffineCoupling(net, strategy, k) for k in range(self.couplings)]
        return Flow(Chain(parts), self.shapes()[at], StandardNormal())

    def decompose(self, x) -> tuple[jax.Array, ...]:
        """`(details_1, ..., details_L, coarse)` of `x [B, H, W, D]`, finest first."""
        return self._split(x)[0]

    def compose(self, parts) -> jax.Array:
        """The volume `[B, H, W, D]` of `decompose`'s parts."""
        shapes = self.shapes()
        given = tuple(tuple(part.shape[1:]) for part in parts)
        if given != shapes:
            raise ValueError(f"parts of a volume have shapes {shapes}, got {given}")
        *details, coarse = parts
        for part in reversed(details):
            coarse = self.join(coarse, part)
        return coarse

    def condition(self, which: int | str, coarse, y) -> jax.Array:
        """What that level is given: c_l beside y, `[B, h, w, K]`; y alone for "coarse".

        With `axis="space"` the pixels of y that fall into one of the level become its
        channels: nothing of y is lost.
        """
        self._check_measurement(y)
        at = self._position(which)
        if self.axis == "space":
            for _ in range(min(at + 1, self.levels)):
                y = squeeze(y)
        if at == self.levels:
            return y
        return jnp.concatenate([coarse, y.astype(coarse.dtype)], axis=-1)

    def examples(self, which: int | str, x, y) -> dict[str, jax.Array]:
        """`{"x": that part of the volumes, "cond": what its flow is given}`."""
        parts, coarse = self._split(x)
        self._check_rows(x, y)
        at = self._position(which)
        given = None if at == self.levels else coarse[at]
        return {"x": parts[at], "cond": self.condition(which, given, y)}

    def init(self, key, x, y) -> dict[str, Any]:
        """Variables of all levels, by name; a level's do not depend on how many are."""
        variables = {}
        for at, name in enumerate(self.names):
            which = self._which(at)
            rows = self.examples(which, x, y)
            # "coarse" is number 0: the others keep theirs where a level is added
            number = (at + 1) % (self.levels + 1)
            own = jax.random.fold_in(key, number)
            variables[name] = self.level(which).init(own, rows["x"], rows["cond"])
        return variables

    def log_prob(self, variables: dict, x, y) -> LevelLogProb:
        """Log-densities of `x [B, H, W, D]` given `y [B, H, W, views]`, by level: nats.

        Raises ValueError for x or y of another shape, dtype, or number of rows.
        """
        names = self.names if self.coarse == "flow" else self.names[:-1]
        found: list[Any] = []
        for at, name in enumerate(names):
            rows = self.examples(self._which(at), x, y)
            level = self.level(self._which(at))
            found.append(level.apply(variables[name], rows["x"], rows["cond"]))
        levels = jnp.stack(found[: self.levels], axis=1)
        return LevelLogProb(levels, found[-1] if self.coarse == "flow" else None)

    def reconstruct(self, variables: dict, y, key=None, temperature=0.0) -> jax.Array:
        """A volume `[B, H, W, D]` for each measurement, coarsest level first.

        At temperature 0, of latents 0: for affine blocks the mean of every level, given
        that of the coarser ones. At temperature 1 it is a draw from `p(x | y)`, or,
        with a coarse regression, from `p(details | coarse, y)` at its coarse part.
        Raises ValueError for a negative temperature, and for one above 0 without a key.
        """
        self._check_measurement(y)
        check_temperature(temperature)
        still = not isinstance(temperature, jax.core.Tracer) and temperature == 0
        if key is None:
            if not still:
                raise ValueError(
                    f"temperature {temperature} draws samples: give a key, or "
                    "temperature=0 for latents 0"
                )
            key = jax.random.key(0)
        keys = jax.random.split(key, self.levels + 1)
        coarse: Any = None
        for at in reversed(range(self.levels + 1)):
            which = self._which(at)
            cond = self.condition(which, coarse, y)
            mean_alone = which == "coarse" and self.coarse == "regression"
            draw = partial(self.level(which).apply, variables[self.names[at]])
            heat = 0.0 if mean_alone else temperature
            part: Any = draw(keys[at], len(y), heat, cond, method="sample")
            coarse = part if which == "coarse" else self.join(coarse, part)
        return coarse

    def _position(self, which) -> int:
        if isinstance(which, str):
            if which != "coarse":
                raise ValueError(f"a level is a number or 'coarse', got {which!r}")
            return self.levels
        at = whole_number("level", which, 1)
        if at > self.levels:
            raise ValueError(f"level must be at most {self.levels}, got {at}")
        return at - 1

    def _which(self, at: int) -> int | str:
        return "coarse" if at == self.levels else at + 1

    def _split(self, x):
        """`(details..., coarse)`, and the coarse volume of every level."""
        if tuple(x.shape[1:]) != self.volume_shape:
            raise ValueError(
                f"volumes must be [B, {', '.join(map(str, self.volume_shape))}], got "
                f"shape {x.shape}"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"the flow takes floating-point volumes, got {x.dtype}; dequantise "
                "8-bit images first (flowjax_ood.data.light_field.volumes)"
            )
        haar, coarse = Haar(self.axis), jnp.asarray(x)
        details, kept = [], []
        for _ in range(self.levels):
            z, _ = haar.forward(coarse)
            count = haar.coarse_channels(z.shape[-1])
            coarse = z[..., :count]
            details.append(z[..., count:])
            kept.append(coarse)
        return (*details, coarse), kept

    def join(self, coarse, details) -> jax.Array:
        """The coarse volume of the level above: one step of `compose`."""
        z = jnp.concatenate([coarse, details], axis=-1)
        return Haar(self.axis).inverse(z)[0]

    def _check_measurement(self, y) -> None:
        expected = (*self.volume_shape[:2], self.views)
        if tuple(y.shape[1:]) != expected:
            raise ValueError(
                f"measurements must be [B, {', '.join(map(str, expected))}], one view "
                f"a channel, of the sides of the volume, got shape {y.shape}"
            )
        if not jnp.issubdtype(y.dtype, jnp.floating):
            raise ValueError(f"measurements must be floating-point, got {y.dtype}")

    def _check_rows(self, x, y) -> None:
        if len(x) != len(y):
            raise ValueError(
                f"there must be one measurement for each of the {len(x)} volumes, got "
                f"{len(y)}"
            )

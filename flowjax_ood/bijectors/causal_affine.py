"""Causal affine maps of tokens: each is moved by what those before it say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from flowjax_ood.arguments import real_number
from flowjax_ood.bijectors.autoregressive import solve_jacobi
from flowjax_ood.bijectors.base import Bijector, sum_event
from flowjax_ood.bijectors.coupling import (
    FLOW_NAME,
    affine_forward,
    affine_inverse,
    bounded_log_scale,
)

SCALES = ("exp", "softplus")
FIRST = ("identity", "learned")
SOLVERS = ("cache", "jacobi")
GUIDED = ("ab", "a", "b")
# softplus(0 + this) = 1
UNIT_SOFTPLUS = 0.5413248546129181


@dataclass(frozen=True)
class Guidance:
    """How far samples are pushed towards their condition: `a <- a + w (a - a_0)`.

    a and b are the scale and shift that a condition gives, a_0 and b_0 those of none, a
    row of zeros. `weight` is w, at least 0; `what` it acts on, "a", "b" or both ("ab");
    with `annealed`, w rises from 0 at the first token to `weight` at the last. Raises
    ValueError for others. Source: Zhai et al. 2024, section 3.4.
    """

    weight: float
    what: str = "ab"
    annealed: bool = False

    def __post_init__(self):
        if not real_number("weight", self.weight) >= 0:
            raise ValueError(
                f"the weight of guidance must be at least 0, got {self.weight}"
            )
        if self.what not in GUIDED:
            raise ValueError(
                f"guidance is of {', '.join(map(repr, GUIDED))}, got {self.what!r}"
            )

    def apply(self, numbers: jax.Array, place: jax.Array | float, scale: bool):
        """Guide s (`scale`) or t of a batch followed by those of no condition.

        `place` in the order of tokens, 0 to 1, broadcasts against them.
        """
        given, without = jnp.split(numbers, 2)
        if self.what not in ("ab", "a" if scale else "b"):
            return given
        weight = self.weight * place if self.annealed else self.weight
        return given + weight * (given - without)


class CausalAffine(Bijector):
    """`z_i = (x_i + t_i) * exp(s_i)`, s and t of token i from the tokens before it.

    Of tokens `[B, T, C]`; the published a and b are -s and -t. The identity at the
    start. s and t are sown in `intermediates`, as those of couplings.

    * `net`: makes the conditioner, such as `partial(networks.CausalTransformer, 64)`: a
      factory of Flax modules, called with `name`. Their
      `conditioner(T, C, features, cond)` returns `networks.TokenNetwork`: pure
      functions whose row i sees the tokens up to i, here moved on by one token;
    * `scale`: "exp", or "softplus", of which `exp(s) = 1 / softplus(a + log(e - 1))`;
    * `soft_clip`: c in `c * tanh(a / c)`, of a and b alike: |logdet| is at most c times
      T C with "exp". None leaves both as they are;
    * `first`: "identity" leaves the first token as it is; "learned" moves it, too, by
      numbers that are the same for all events of one `cond`;
    * `solver`: how the inverse is found. "cache" goes token by token and keeps the keys
      and values of those before: the work of one forward pass, in T steps. "jacobi"
      moves all tokens at once until they stand still within `tol`, after T rounds at
      most; it sows their number as `rounds`, and JAX cannot differentiate it backwards;
    * `guidance`: of samples with a condition. Then there is an inverse alone.

    Source: Zhai et al. 2024 (TarFlow), section 3; softplus, soft clip and a first token
    that is learned: Gu et al. 2025 (STARFlow).
    """

    net: Callable[..., nn.Module]
    scale: str = "exp"
    soft_clip: float | None = 4.0
    first: str = "identity"
    solver: str = "cache"
    tol: float = 1e-6
    guidance: Guidance | None = None

    def __post_init__(self):
        for name, known in (("scale", SCALES), ("first", FIRST), ("solver", SOLVERS)):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")
        clip = self.soft_clip
        if clip is not None and not real_number("soft_clip", clip) > 0:
            raise ValueError(
                f"soft_clip must be positive, or None for no bound, got {clip}"
            )
        if not real_number("tol", self.tol) >= 0:
            raise ValueError(f"tol must be at least 0, got {self.tol}")
        super().__post_init__()

    def forward(self, x, cond=None):
        if self.guidance is not None:
            raise ValueError(
                "a guided map has no density: guidance is of samples alone"
            )
        s, t = self._numbers(self._network(x, cond), x)
        self._sow(s=s, t=t)
        z, logdet = affine_forward(x, s, t)
        return checkpoint_name(z, FLOW_NAME), logdet

    def inverse(self, z, cond=None):
        network = self._network(z, cond)
        if self.solver == "jacobi":
            x, s, t, rounds = self._by_rounds(network, z)
            self._sow(s=s, t=t, rounds=rounds)
        else:
            x, s, t = self._by_tokens(network, z)
            self._sow(s=s, t=t)
        return x, -sum_event(s)

    @nn.nowrap
    def latent_shape(self, shape):
        if len(shape) != 2 or not all(isinstance(n, int) for n in shape):
            raise ValueError(
                f"CausalAffine takes tokens [B, T, C], got event shape {shape}; "
                "bijectors.Patches makes them of images"
            )
        return shape

    @nn.compact
    def _network(self, x, cond):
        self.latent_shape(x.shape[1:])
        if self.guidance is not None:
            if cond is None:
                raise ValueError("guidance needs cond, the condition to push towards")
            cond = jnp.concatenate([cond, jnp.zeros_like(cond)])
        tokens, channels = x.shape[1:]
        return self.net(name="net").conditioner(tokens, channels, 2 * channels, cond)

    def _sow(self, **values):
        for name, value in values.items():
            self.sow("intermediates", name, value)

    @nn.nowrap
    def _scale_and_shift(self, raw: jax.Array, place):
        """S and t of what the network gives: of tokens at `place`, 0 to 1."""
        raw = checkpoint_name(raw, FLOW_NAME)
        a, b = (
            bounded_log_scale(part, self.soft_clip)
            for part in jnp.split(raw, 2, axis=-1)
        )
        s = -a if self.scale == "exp" else -_log_softplus(a + UNIT_SOFTPLUS)
        if self.guidance is None:
            return s, -b
        return self.guidance.apply(s, place, True), self.guidance.apply(
            -b, place, False
        )

    @nn.nowrap
    def _numbers(self, network, x: jax.Array):
        """S and t `[B, T, C]` of all tokens at once."""
        places = _place(jnp.arange(x.shape[1])[:, None], x)
        twice = self._doubled(x)
        if self.first == "learned":
            before = jnp.pad(twice[:, :-1], [(0, 0), (1, 0), (0, 0)])
            return self._scale_and_shift(network.outputs(before), places)
        s, t = self._scale_and_shift(network.outputs(twice)[:, :-1], places[1:])
        # zeros of s and t themselves: no rounding moves the first token
        return tuple(jnp.pad(n, [(0, 0), (1, 0), (0, 0)]) for n in (s, t))

    @nn.nowrap
    def _by_rounds(self, network, z):
        step = partial(self._numbers, network)
        x, rounds = solve_jacobi(lambda x: affine_inverse(z, *step(x))[0], z, self.tol)
        s, t = step(x)
        # by the numbers that are returned
        return affine_inverse(z, s, t)[0], s, t, rounds

    @nn.nowrap
    def _by_tokens(self, network, z):
        kept = 0 if self.first == "learned" else 1

        def token(carry, inputs):
            cache, before = carry
            index, z_i = inputs
            raw, cache = network.step(cache, self._doubled(before), index)
            s, t = self._scale_and_shift(raw, _place(index + kept, z))
            x_i, _ = affine_inverse(z_i, s, t)
            return (cache, x_i), (x_i, s, t)

        # the first token asks about nothing before it, or is itself
        first = z[:, 0] if kept else jnp.zeros_like(z[:, 0])
        cache = network.start(len(self._doubled(first)), z.dtype)
        rest = z[:, kept:].swapaxes(0, 1)
        asked = jnp.arange(len(rest))
        _, found = lax.scan(token, (cache, first), (asked, rest))
        x, s, t = (part.swapaxes(0, 1) for part in found)
        zeros = jnp.zeros_like(z[:, :kept])
        joined = ((z[:, :kept], x), (zeros, s), (zeros, t))
        return tuple(jnp.concatenate(parts, axis=1) for parts in joined)

    @nn.nowrap
    def _doubled(self, x):
        """The batch as the network takes it: with a condition, and without."""
        return x if self.guidance is None else jnp.concatenate([x, x])


def _place(index, x: jax.Array):
    """Where among the tokens of x those of `index` are: 0 the first, 1 the last."""
    return (index / max(x.shape[1] - 1, 1)).astype(x.dtype)


def _log_softplus(x: jax.Array) -> jax.Array:
    """`log(log(1 + e^x))`, which is x far below 0."""
    low = x < -20.0
    return jnp.where(low, x, jnp.log(jax.nn.softplus(jnp.where(low, 0.0, x))))

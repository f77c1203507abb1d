"""A classifier as detectors see it: one function to activations and logits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import at_once, compiled, in_batches

Taps = dict[str, jax.Array]


class Outputs(NamedTuple):
    """The results of a forward pass, reduced so that those of a set fit in memory.

    `logits [N, C]`; `features [N, D]`, the input of the last linear layer (the logits
    where the network names no such tap); `pooled {layer: [N, d]}`, the mean over
    positions of each layer's channels.
    """

    logits: Any
    features: Any
    pooled: dict[str, Any]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["variables", "head"],
    meta_fields=["apply", "layers", "penultimate", "mean", "std", "sample"],
)
@dataclass(frozen=True, eq=False)
class Network:
    """`apply(variables, x) -> ({tap: array [B, ...]}, logits [B, C])`, and its facts.

    x is what the network takes: pixels in [0, 1] as floats `[B, H, W, C]`, or tokens.
    Stored images, uint8, are divided by 255 wherever detectors take them. Rows must not
    depend on each other, as in evaluation mode: input gradients are taken of sums.

    * `layers`: taps that multi-layer detectors read, shallow to deep;
    * `penultimate`: the tap `[B, D]` that the last linear layer reads, and `head`, that
      layer: `(W [D, C], b [C])` with `logits = penultimate @ W + b`;
    * `mean`, `std`: of the training pixels, per channel, in [0, 1]. Perturbations are
      in pixel units; FSSD's published noise and gradients are in units of std;
    * `sample(variables, x, key) -> logits`: with dropout, for `MCDropout`.

    Any function will do: `Network(lambda _, x: (taps, logits))`.

    A pytree of its `variables` and `head`: networks whose other facts are equal share
    compiled programs, as those that `of` makes of one module do.
    """

    apply: Callable[[Any, jax.Array], tuple[Taps, jax.Array]]
    variables: Any = field(default=(), repr=False)
    layers: tuple[str, ...] = ()
    penultimate: str | None = None
    head: tuple[Any, Any] | None = field(default=None, repr=False)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    sample: Callable[[Any, jax.Array, jax.Array], jax.Array] | None = None

    def __post_init__(self):
        # static parts of compiled programs, which must hash: no arrays, no lists
        object.__setattr__(self, "layers", tuple(self.layers))
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value is not None:
                value = tuple(map(float, np.ravel(value)))
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, module, variables) -> "Network":
        """Wrap one of this library's classifiers, or a module with the same facts."""
        # once, not at every call
        variables = jax.tree.map(jnp.asarray, variables)
        return cls(
            apply=_MethodOf(module, "taps"),
            variables=variables,
            layers=tuple(module.layers),
            penultimate=module.penultimate,
            head=module.head(variables),
            mean=getattr(module, "mean", None),
            std=getattr(module, "std", None),
            sample=_MethodOf(module, "__call__"),
        )

    def taps(self, x: jax.Array) -> tuple[Taps, jax.Array]:
        """Call `apply` on a batch as it is stored; pure, for use inside `jit`."""
        return self.apply(self.variables, as_input(x))

    def outputs(self, x: jax.Array) -> Outputs:
        """Compute the `Outputs` of a batch; pure, for use inside `jit`."""
        taps, logits = self.taps(x)
        missing = {*self.layers, self.penultimate} - {*taps, None}
        if missing:
            raise ValueError(
                f"the network gives no tap {sorted(missing)}, only {sorted(taps)}"
            )
        features = logits if self.penultimate is None else taps[self.penultimate]
        if features.ndim != 2:
            raise ValueError(
                f"the tap {self.penultimate!r} must be [B, D], it is {features.shape}"
            )
        pooled = {name: pool(taps[name]) for name in self.layers}
        return Outputs(logits, features, pooled)

    def collect(self, x, batch_size: int = 250) -> Outputs:
        """Compute the `Outputs` of all of `x [N, ...]` as NumPy arrays, in batches."""
        return in_batches(partial(_outputs, self), x, at_once(x, batch_size))


@dataclass(frozen=True)
class _MethodOf:
    """A module's method as a function, equal where modules are; `key`: of dropout."""

    module: Any
    method: str

    def __call__(self, variables, x, key=None):
        rngs = None if key is None else {"dropout": key}
        return self.module.apply(variables, x, rngs=rngs, method=self.method)

    def __hash__(self):
        # fields of modules may be lists, which compare but have no hash
        return hash(type(self.module))


@compiled
def _outputs(network: Network, x):
    return network.outputs(x)


@compiled
def logits_of(network: Network, x) -> jax.Array:
    """Compute logits alone, `[B, C]`."""
    return network.taps(x)[1]


def as_input(x: jax.Array) -> jax.Array:
    """Divide uint8 pixels by 255, to floats in [0, 1]; all else stays."""
    return x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else jnp.asarray(x)


def pool(tap: jax.Array) -> jax.Array:
    """Average over positions: `[B, ..., C]` -> `[B, C]`."""
    return jnp.mean(tap, axis=tuple(range(1, tap.ndim - 1)))


def flat(tap: jax.Array) -> jax.Array:
    """Flatten `[B, ...]` -> `[B, D]`."""
    return tap.reshape(len(tap), -1)


def check_images(x, what: str) -> np.ndarray:
    """Return `x` as an array that gradients can be taken by; TypeError for tokens."""
    x = np.asarray(x)
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise TypeError(
            f"{what} changes its input along a gradient, which {x.dtype} values have "
            "not; leave the perturbation out (magnitude 0)"
        )
    return x

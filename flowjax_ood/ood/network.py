"""A classifier as detectors see it: one function to activations and logits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowjax_ood.ood.batched import in_batches

Taps = dict[str, jax.Array]


class Outputs(NamedTuple):
    """What one forward pass leaves of each input, reduced so that a set fits in memory.

    `logits [N, C]`; `features [N, D]`, what the last linear layer reads (the logits
    where the network names no such tap); `pooled {layer: [N, d]}`, the mean over
    positions of each layer's channels.
    """

    logits: Any
    features: Any
    pooled: dict[str, Any]


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
    """

    apply: Callable[[Any, jax.Array], tuple[Taps, jax.Array]]
    variables: Any = field(default=(), repr=False)
    layers: tuple[str, ...] = ()
    penultimate: str | None = None
    head: tuple[Any, Any] | None = field(default=None, repr=False)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    sample: Callable[[Any, jax.Array, jax.Array], jax.Array] | None = None

    @classmethod
    def of(cls, module, variables) -> "Network":
        """Of one of this library's classifiers, or of a module with the same facts."""

        def sample(variables, x, key):
            return module.apply(variables, x, rngs={"dropout": key})

        return cls(
            apply=lambda variables, x: module.apply(variables, x, method="taps"),
            variables=variables,
            layers=tuple(module.layers),
            penultimate=module.penultimate,
            head=module.head(variables),
            mean=getattr(module, "mean", None),
            std=getattr(module, "std", None),
            sample=sample,
        )

    def outputs(self, variables, x: jax.Array) -> Outputs:
        """`Outputs` of a batch; a pure function, for use inside `jit`."""
        taps, logits = self.apply(variables, as_input(x))
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

    @cached_property
    def _outputs(self):
        return jax.jit(self.outputs)

    def collect(self, x, batch_size: int = 250) -> Outputs:
        """`Outputs` of all of `x [N, ...]` as NumPy arrays, in batches."""
        # as for scores: what is fitted to outputs is compared with those
        with jax.default_matmul_precision("highest"):
            return in_batches(
                lambda rows: self._outputs(self.variables, rows), x, batch_size
            )


def as_input(x: jax.Array) -> jax.Array:
    """What a network takes: uint8 pixels become floats in [0, 1], all else stays."""
    return x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else jnp.asarray(x)


def pool(tap: jax.Array) -> jax.Array:
    """Mean over positions: `[B, ..., C]` -> `[B, C]`."""
    return jnp.mean(tap, axis=tuple(range(1, tap.ndim - 1)))


def flat(tap: jax.Array) -> jax.Array:
    """`[B, ...]` -> `[B, D]`."""
    return tap.reshape(len(tap), -1)


def check_images(x, what: str) -> np.ndarray:
    """`x` as an array that gradients can be taken by; TypeError for tokens."""
    x = np.asarray(x)
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise TypeError(
            f"{what} changes its input along a gradient, which {x.dtype} values have "
            "not; leave the perturbation out (magnitude 0)"
        )
    return x
